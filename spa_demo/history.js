// @ts-check
/** The security history in words: what happened, where, and how serious it is. */
import { ending } from "./words.js";

/** @typedef {{ icon: string, alarm?: boolean, title: string, detail?: string }} Line */

/** @type {Record<string, (device: string, data: Record<string, any>) => Line>} */
const KINDS = {
  "account.registered": () => ({ icon: "check", title: "You made this account" }),
  "account.closed": () => ({ icon: "leave", title: "You closed this account" }),
  "login.failed": () => ({ icon: "alert", alarm: true, title: "Somebody tried a wrong password" }),
  "session.started": (device) => ({ icon: "enter", title: `Signed in on ${device}` }),
  "session.ended": (device, data) => ({
    icon: data.reason === "reused" ? "alert" : "leave",
    alarm: data.reason === "reused",
    title: `Signed out on ${device}`,
    detail: ending(data.reason, data.ended_by),
  }),
  "refresh.refused": (device) => ({ icon: "alert", title: `An ended ticket was shown on ${device}`, detail: "It was refused" }),
  "token.reused": (device) => ({
    icon: "alert",
    alarm: true,
    title: `A copied ticket was used on ${device}`,
    detail: "That session was ended. If this wasn't you, change your password",
  }),
  "password.changed": () => ({ icon: "key", title: "You changed your password" }),
  "step_up.proved": () => ({ icon: "key", title: "You confirmed that it's you" }),
  "step_up.failed": () => ({ icon: "alert", alarm: true, title: "Somebody signed in here gave a wrong password" }),
  "account.disabled": () => ({ icon: "alert", alarm: true, title: "An administrator closed this account" }),
  "account.enabled": () => ({ icon: "check", title: "An administrator opened this account again" }),
  "staff.reset_started": () => ({ icon: "key", title: "An administrator had a link for a new password sent to you" }),
  "staff.signed_out": () => ({ icon: "leave", title: "An administrator signed you out" }),
  "role.granted": (_device, data) => ({ icon: "key", title: "An administrator gave you a role", detail: `You are ${data.role} now` }),
  "role.taken": (_device, data) => ({ icon: "key", title: "An administrator took a role from you", detail: `You are ${data.role} now` }),
  "factor.added": (_device, data) => ({ icon: "key", title: "You added a second step", detail: `It is called ${data.name}` }),
  "factor.removed": (_device, data) => ({ icon: "key", title: "You removed a second step", detail: `It was called ${data.name}` }),
  "factor.failed": () => ({ icon: "alert", alarm: true, title: "Somebody got the second step wrong" }),
  "recovery_codes.made": () => ({ icon: "key", title: "You made new recovery codes" }),
  "recovery_code.used": (_device, data) => ({ icon: "key", title: "A recovery code was used", detail: `${data.left} left` }),
  "device.renamed": (device, data) => ({ icon: "pencil", title: "You renamed a device", detail: `Now called ${data.name ?? device}` }),
};

/** @param {import("./types.js").Activity} event @returns {Line} */
export function line({ kind, device, data = {} }) {
  const known = KINDS[kind];
  return known ? known(device ?? "a device", data) : { icon: "check", title: unknown(kind) };
}

/** "factor.added" -> "Factor added": a newer server's event still makes sense. @param {string} kind */
function unknown(kind) {
  const text = kind.replaceAll(/[._]/g, " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
