// @ts-check
import { serverNow } from "../clock.js";
import { clone, part, say } from "../dom.js";
import { Problem, Superseded } from "../http.js";
import { count, refusal } from "../words.js";
import { openRename } from "./rename.js";
import { fill, skeletons, tear } from "./ticket.js";

/** @typedef {import("../types.js").Device} Device @typedef {import("./shell.js").App} App */

const MONTH = 30 * 86_400_000;

export const title = "Devices";
export const template = "view-devices";

/** @type {import("./shell.js").View["mount"]} */
export async function mount(page, app, signal) {
  const box = /** @type {HTMLDetailsElement} */ (part(page, "ended-box"));
  const load = async () => {
    const { devices } = await app.api.get(`/v1/devices${box.open ? "?ended=true" : ""}`);
    if (!signal.aborted) show(page, devices, box.open);
  };
  /** One at a time, and one more if something happened meanwhile. @type {Promise<void> | null} */
  let loading = null;
  const reload = async () => {
    await loading?.catch(() => {});
    loading = load();
    await loading.catch((error) => quiet(app, error));
  };

  skeletons(part(page, "living"), 2);
  page.addEventListener("click", (event) => void clicked(event, app, reload), { signal });
  box.addEventListener("toggle", () => void (box.open && reload()), { signal });
  part(page, "others").addEventListener("click", () => void signOutOthers(app, reload), { signal });
  for (const name of ["session.started", "session.ended", "token.reused", "resumed"])
    app.events.addEventListener(name, () => void reload(), { signal });
  await load();
}

/** @param {HTMLElement} page @param {Device[]} devices @param {boolean} withEnded */
function show(page, devices, withEnded) {
  const living = devices.filter((device) => device.sessions.some((session) => !session.ended_at));
  const ended = devices
    .filter((device) => !living.includes(device) && endedAt(device) > serverNow().getTime() - MONTH)
    .sort((a, b) => endedAt(b) - endedAt(a));
  arrange(part(page, "living"), living);
  part(page, "others").hidden = living.length < 2;
  say(page, { lead: summary(living.length) });
  if (!withEnded) return;
  arrange(part(page, "ended"), ended);
  part(page, "none").hidden = ended.length > 0;
}

/** When the last session on a device ended. @param {Device} device */
const endedAt = (device) => Math.max(...device.sessions.map((session) => Date.parse(session.ended_at ?? "") || 0));

/** @param {number} n */
function summary(n) {
  if (n < 2) return "Only this device holds a ticket of yours.";
  return `${count(n, "device holds", "devices hold")} a ticket of yours. End any of them, and it is refused at its very next request.`;
}

/**
 * Bring a list up to date in place: tickets that stay keep the focus and a name being typed, one that went is torn off.
 * @param {HTMLElement} list @param {Device[]} devices
 */
function arrange(list, devices) {
  const all = /** @type {HTMLElement[]} */ ([...list.children]).filter((child) => !child.classList.contains("torn"));
  const tickets = devices.map((device) => {
    const ticket = all.find((child) => child.dataset.id === device.id) ?? clone("ticket");
    fill(ticket, device);
    offer(ticket, device);
    return ticket;
  });
  for (const child of all) {
    if (child.matches(".skeleton, .ended")) child.remove();
    else if (!tickets.includes(child)) void tear(child).then(() => child.remove());
  }
  // Moving an element drops its focus, so only what stands elsewhere is moved.
  let at = list.firstElementChild;
  for (const ticket of tickets) {
    while (at?.classList.contains("torn")) at = at.nextElementSibling;
    if (at === ticket) at = at.nextElementSibling;
    else list.insertBefore(ticket, at);
  }
}

/** The stub's one action. @param {HTMLElement} ticket @param {Device} device */
function offer(ticket, device) {
  const action = part(ticket, "action");
  const ended = ticket.classList.contains("ended");
  action.hidden = ended;
  action.className = device.current ? "calm" : "ending";
  action.dataset.do = device.current ? "rename" : "end";
  action.textContent = device.current ? "Rename" : "Sign out";
  action.setAttribute("aria-label", `${action.textContent} ${device.name}`);
  part(ticket, "rename").hidden = device.current || ended;
}

/** @param {Event} event @param {App} app @param {() => Promise<void>} reload */
async function clicked(event, app, reload) {
  const button = /** @type {HTMLElement} */ (event.target).closest("button");
  const ticket = /** @type {HTMLElement | null} */ (button?.closest(".ticket"));
  if (!button || !ticket || button.ariaBusy === "true") return;
  const wish = button.dataset.do ?? button.dataset.part;
  if (wish === "rename") openRename(ticket, app, reload);
  const line = /** @type {HTMLElement | null} */ (button.closest("li[data-id]"));
  button.ariaBusy = "true";
  try {
    if (wish !== "end" || !line) return;
    const next = neighbour(ticket);
    await end(app, `/v1/${line === ticket ? "devices" : "sessions"}/${line.dataset.id}`);
    app.toast(`${part(ticket, "name").textContent} is signed out${line === ticket ? "" : " there"}.`);
    await reload();
    // The button goes with its ticket; the keyboard should not start again at the top of the page.
    if (line === ticket) next?.focus();
  } catch (error) {
    quiet(app, error);
  } finally {
    button.ariaBusy = null;
  }
}

/** @param {HTMLElement} ticket @returns {HTMLElement | null | undefined} the action of the ticket beside it */
function neighbour(ticket) {
  return (ticket.nextElementSibling ?? ticket.previousElementSibling)?.querySelector('[data-part="action"]');
}

/** @param {App} app @param {string} path */
async function end(app, path) {
  try {
    await app.api.call("DELETE", path);
  } catch (error) {
    // Somebody was quicker: what was wished for is the case.
    if (!(error instanceof Problem) || error.code !== "not_found") throw error;
  }
}

/** @param {App} app @param {() => Promise<void>} reload */
async function signOutOthers(app, reload) {
  const done = await app.ask({
    title: "Sign out all other devices?",
    text: "Each of them has to sign in again. This one stays signed in.",
    yes: "Sign them out",
    work: () => app.api.call("POST", "/v1/devices/logout-others"),
  });
  if (done) await reload();
}

/** @param {App} app @param {unknown} error */
function quiet(app, error) {
  if (!(error instanceof Superseded)) app.toast(refusal(error), "warn");
}
