// @ts-check
import { clone, icon, part, say, when } from "../dom.js";
import { line } from "../history.js";
import { ago } from "../times.js";
import { refusal } from "../words.js";

/** @typedef {import("../types.js").Activity} Activity */

export const title = "Activity";
export const template = "view-activity";

const PAGE = 20;

/** @type {import("./shell.js").View["mount"]} */
export async function mount(page, app, signal) {
  const history = part(page, "history");
  const more = part(page, "more");
  /** @type {string | null} */
  let next = null;

  /** @param {string | null} after */
  const fetchPage = (after) =>
    app.api.get(`/v1/me/activity?limit=${PAGE}${after ? `&after=${encodeURIComponent(after)}` : ""}`);
  const first = async () => {
    const answer = await fetchPage(null);
    if (signal.aborted) return;
    history.replaceChildren(...answer.events.map(entry));
    follow(answer);
    part(page, "none").hidden = answer.events.length > 0;
  };
  const earlier = async () => {
    more.ariaBusy = "true";
    try {
      const answer = await fetchPage(next);
      history.append(...answer.events.map(entry));
      follow(answer);
    } catch (error) {
      app.toast(refusal(error), "warn");
    } finally {
      more.ariaBusy = null;
    }
  };
  const follow = (/** @type {{ next: string | null }} */ answer) => {
    next = answer.next;
    more.hidden = !next;
  };

  more.addEventListener("click", () => void earlier(), { signal });
  for (const name of ["session.started", "session.ended", "token.reused", "resumed"])
    app.events.addEventListener(name, () => void first().catch(() => {}), { signal });
  await first();
}

/** @param {Activity} event */
function entry(event) {
  const item = clone("event");
  const { icon: name, alarm = false, title: words, detail = "" } = line(event);
  icon(item, name);
  item.classList.toggle("alarm", alarm);
  say(item, { title: words, detail, ip: event.ip ? ` · ${event.ip}` : "" });
  when(part(item, "at"), event.at, ago(event.at));
  return item;
}
