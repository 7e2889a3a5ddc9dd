// @ts-check
/** Says what just happened elsewhere, whatever view is on the page. */
import { toast } from "./toast.js";

/** @param {import("../session.js").Session} session @param {import("../events.js").Events} events */
export function watchNews(session, events) {
  session.addEventListener("change", () => {
    // What happened to the person who has just left is nobody's business on this page any more.
    if (session.state === "out") document.getElementById("toasts")?.replaceChildren();
  });
  events.addEventListener("session.started", (event) => {
    const { session_id, device } = /** @type {CustomEvent} */ (event).detail;
    if (session_id !== session.id) toast(`New sign-in: ${device}`);
  });
  events.addEventListener("token.reused", () => {
    toast("A copied ticket was used and that session was ended. If this wasn't you, change your password.", "warn");
  });
}
