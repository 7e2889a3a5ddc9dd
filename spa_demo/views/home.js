// @ts-check
import { clone, icon, part, say, when } from "../dom.js";
import { line } from "../history.js";
import { ago, until } from "../times.js";
import { count } from "../words.js";
import { fill, skeletons } from "./ticket.js";

/** @typedef {import("../types.js").Device} Device */

export const title = "Home";
export const template = "view-home";

/** @type {import("./shell.js").View["mount"]} */
export async function mount(page, app, signal) {
  const greet = () => {
    const { account } = app.session;
    if (account) say(page, { hello: account.name ? `Hello, ${account.name}` : "Hello", who: `You're signed in as ${account.email}.` });
  };
  const load = async () => {
    const [{ devices }, { events }] = await Promise.all([app.api.get("/v1/devices"), app.api.get("/v1/me/activity?limit=3")]);
    if (signal.aborted) return;
    showDevices(page, devices, app);
    part(page, "latest").replaceChildren(...events.map(brief));
  };
  greet();
  skeletons(part(page, "device"), 1);
  app.session.addEventListener("change", greet, { signal });
  for (const name of ["session.started", "session.ended", "resumed"])
    app.events.addEventListener(name, () => void load().catch(() => {}), { signal });
  await load();
}

/** @param {HTMLElement} page @param {Device[]} devices @param {import("./shell.js").App} app */
function showDevices(page, devices, app) {
  const current = devices.find((device) => device.current);
  const others = devices.filter((device) => device !== current);
  say(page, { others: othersWords(others.length) });
  if (!current) return;
  const ticket = clone("ticket");
  fill(ticket, current);
  part(ticket, "rename").hidden = true;
  const action = part(ticket, "action");
  action.className = "ending";
  action.textContent = "Sign out";
  action.addEventListener("click", () => void app.session.logout());
  const own = current.sessions.find((session) => session.current);
  const seen = part(ticket, "seen");
  if (own) when(seen, own.expires_at, `Stays signed in until ${until(own.expires_at)}`);
  part(page, "device").replaceChildren(ticket);
}

/** @param {number} n */
function othersWords(n) {
  if (n === 0) return "No other device holds a ticket of yours.";
  return `${count(n, "other device holds", "other devices hold")} a ticket of yours.`;
}

/** @param {import("../types.js").Activity} event */
function brief(event) {
  const item = document.createElement("li");
  const sign = /** @type {HTMLElement} */ (document.querySelector("#trouble svg")?.cloneNode(true));
  const text = document.createElement("span");
  const time = document.createElement("time");
  const { icon: name, title: words, alarm = false } = line(event);
  icon(sign, name);
  item.classList.toggle("alarm", alarm);
  text.textContent = words;
  when(time, event.at, ago(event.at));
  item.append(sign, text, time);
  return item;
}
