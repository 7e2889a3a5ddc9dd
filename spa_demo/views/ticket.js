// @ts-check
/** A device as a cloakroom ticket: the body says where you're signed in, the stub has its number and its one action. */
import { clone, icon, part, say, when } from "../dom.js";
import { ago, since } from "../times.js";
import { doorName, ending, shape, stubNumber } from "../words.js";

/** @typedef {import("../types.js").Device} Device @typedef {import("../types.js").ServerSession} ServerSession */

/**
 * Show `device` on `ticket`; called again when it changes.
 * @param {HTMLElement} ticket @param {Device} device
 */
export function fill(ticket, device) {
  const living = device.sessions.filter((session) => !session.ended_at);
  const shown = living[0] ?? device.sessions[0];
  ticket.dataset.id = device.id;
  ticket.classList.toggle("ended", living.length === 0);
  icon(/** @type {HTMLElement} */ (ticket.querySelector(".picture")), shape(device.platform));
  say(ticket, { name: device.name, number: `No ${stubNumber(device.id)}`, ip: living.length && shown?.ip ? ` · ${shown.ip}` : "" });
  part(ticket, "rename").setAttribute("aria-label", `Rename ${device.name}`);
  part(ticket, "current").hidden = !device.current;
  if (living.length) fillLiving(ticket, device, living);
  else fillEnded(ticket, device);
}

/** @param {HTMLElement} ticket @param {Device} device @param {ServerSession[]} living */
function fillLiving(ticket, device, living) {
  const words = device.current ? "Active now" : `Last seen ${ago(device.last_seen_at)}`;
  when(part(ticket, "seen"), device.last_seen_at, words);
  part(ticket, "sessions").replaceChildren(...living.map((session) => row(session, device, living.length > 1)));
}

/** @param {HTMLElement} ticket @param {Device} device */
function fillEnded(ticket, device) {
  const last = device.sessions.reduce((a, b) => ((a.ended_at ?? "") > (b.ended_at ?? "") ? a : b));
  const at = last.ended_at ?? device.last_seen_at;
  when(part(ticket, "seen"), at, `${ending(last.end_reason, last.ended_by)}, ${ago(at)}`);
  part(ticket, "sessions").replaceChildren();
}

/** @param {ServerSession} session @param {Device} device @param {boolean} several each can be ended alone */
function row(session, device, several) {
  const line = clone("session");
  const door = doorName(session.door, device.platform);
  say(line, { door });
  line.dataset.id = session.id;
  when(part(line, "since"), session.created_at, since(session.created_at));
  const end = part(line, "end");
  end.setAttribute("aria-label", `Sign out: ${door} on ${device.name}`);
  if (!several || session.current) end.remove();
  return line;
}

/** Tear the stub off; resolves when it has fallen. With reduced motion that is at once. @param {HTMLElement} ticket */
export async function tear(ticket) {
  ticket.classList.add("torn");
  await Promise.allSettled(ticket.getAnimations({ subtree: true }).map((animation) => animation.finished));
}

/** @param {HTMLElement} list @param {number} n room for what is being fetched, so that nothing jumps */
export function skeletons(list, n) {
  list.replaceChildren(...Array.from({ length: n }, () => clone("ticket-skeleton")));
}
