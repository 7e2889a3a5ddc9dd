// @ts-check
/** "Can't reach the server": says so, tries again by itself with growing pauses, and at once when asked to. */
import { part } from "../dom.js";
import * as notes from "../notes.js";

const LONGEST = 30_000;

/** @param {import("../session.js").Session} session @param {import("../api.js").Api} api */
export function watchReach(session, api) {
  const bar = /** @type {HTMLElement} */ (document.getElementById("trouble"));
  let failures = 0;
  let timer = 0;

  const attempt = () => {
    clearTimeout(timer);
    const call = session.state === "in" ? api.get("/v1/sessions/current") : session.start();
    void call.catch(() => {}); // what it found comes back as `reach` or `change`
  };
  // A page that was away (another tab, asleep, in the back-forward cache) may have missed the end of its session.
  const back = () => void (document.visibilityState === "visible" && session.state !== "starting" && attempt());
  session.addEventListener("reach", () => {
    const { trouble } = session;
    clearTimeout(timer);
    bar.hidden = !trouble;
    failures = trouble ? failures + 1 : 0;
    if (!trouble) return;
    part(bar, "text").textContent = words(session);
    // The server's own wish comes first; the person's button does not override it either (session.js refuses).
    timer = setTimeout(attempt, Math.max(trouble.wait * 1000, Math.min(LONGEST, 500 * 2 ** failures)));
  });
  part(bar, "retry").addEventListener("click", attempt);
  addEventListener("online", attempt);
  addEventListener("pageshow", (event) => event.persisted && back());
  document.addEventListener("visibilitychange", back);
}

/** @param {import("../session.js").Session} session */
function words(session) {
  if (session.owesLogout) return "Can't reach the server. You're signed out here; it is told as soon as it answers.";
  const known = session.state === "in" || notes.standing() === "in";
  return known ? "Can't reach the server. You're still signed in." : "Can't reach the server. We'll keep trying.";
}
