// @ts-check
/** The account has as many sessions as it may have: the person chooses the one that gives way. */
import { clone, part, say } from "../dom.js";
import { ago } from "../times.js";
import { doorName } from "../words.js";
import { onSubmit } from "./forms.js";

/** @typedef {import("../types.js").Device} Device @typedef {import("../types.js").ServerSession} ServerSession */
/** @typedef {import("../session.js").Session} Session @typedef {import("../http.js").Problem} Problem */

/**
 * The choice takes the place of `here`; "Start again" leads to `start`. `again` does a sign-in that may find no room.
 * @param {HTMLElement} here @param {HTMLElement} start @param {Session} session @param {AbortSignal} signal
 * @param {Problem} error @param {(page: HTMLElement, work: () => Promise<void>) => Promise<void>} again
 */
export function makeRoom(here, start, session, signal, error, again) {
  const page = clone("view-no-room");
  fill(page, error.body.devices);
  const { challenge_token } = error.body; // kept in this closure only
  /** @param {string} session_id */
  const choose = (session_id) => session.verify(challenge_token, "sign_out", { session_id });
  part(page, "back").addEventListener("click", () => page.replaceWith(start));
  const form = /** @type {HTMLFormElement} */ (part(page, "form"));
  onSubmit(form, ({ session_id }) => again(page, () => choose(session_id)), signal);
  here.replaceWith(page);
  /** @type {HTMLInputElement | null} */ (page.querySelector("input:checked"))?.focus();
}

/** The session unused for longest comes first, and is chosen to begin with. @param {HTMLElement} page @param {Device[]} devices */
function fill(page, devices) {
  const held = devices.flatMap((device) => device.sessions.map((one) => ({ device, one })));
  held.sort((a, b) => (a.one.last_seen_at < b.one.last_seen_at ? -1 : 1));
  part(page, "choices").append(...held.map(({ device, one }, at) => choice(device, one, at === 0)));
}

/** @param {Device} device @param {ServerSession} session @param {boolean} chosen */
function choice(device, session, chosen) {
  const line = clone("choice");
  const input = /** @type {HTMLInputElement} */ (line.querySelector("input"));
  input.value = session.id;
  input.checked = chosen;
  say(line, { name: device.name, about: `${doorName(session.door, device.platform)}, last seen ${ago(session.last_seen_at)}` });
  return line;
}
