// @ts-check
/** What the app says. Plain, calm, second person; each sentence about a failure says what to do next. */
import { Problem, Unreachable } from "./http.js";

const NUMBERS = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"];

/** @param {number} n @param {string} one @param {string} many "Three devices", "12 devices" */
export const count = (n, one, many) => `${NUMBERS[n] ?? n} ${n === 1 ? one : many}`;

/** A short pause, in words. @param {number} seconds */
export function pause(seconds) {
  if (seconds < 90) return count(Math.max(1, Math.ceil(seconds)), "second", "seconds").toLowerCase();
  return count(Math.ceil(seconds / 60), "minute", "minutes").toLowerCase();
}

/** @type {Record<string, string>} */
const REFUSALS = {
  invalid_credentials: "This address and password don't go together. Check both and try again.",
  email_taken: "There is an account with this address already. Sign in instead?",
  challenge_expired: "That took too long, or was tried too often. Start again.",
  not_found: "That isn't there any more. The list has been brought up to date.",
  conflict: "This changed in the meantime. Look again, then repeat it.",
  csrf_failed: "This page isn't on the list of places that may sign you in. Open the app from its usual address.",
  forbidden: "You're not allowed to do that.",
  session_limit: "You're signed in on too many devices. Sign one of them out, then try again.",
};

/** @param {unknown} error what to tell about a call that failed */
export function refusal(error) {
  if (error instanceof Unreachable) return "Can't reach the server. Check your connection, then try again.";
  if (!(error instanceof Problem)) return "Something went wrong here. Try again, or reload the page.";
  if (error.code === "rate_limited") return `That was a lot of tries. Wait ${pause(error.wait)}, then try again.`;
  return REFUSALS[error.code] ?? "Something went wrong on our side. Try again in a moment.";
}

/** @param {string | null} platform @returns {"phone" | "laptop"} */
export function shape(platform) {
  return /android|ios|ipados|phone|mobile|tablet/i.test(platform ?? "") ? "phone" : "laptop";
}

/** @param {string} door @param {string | null} platform */
export function doorName(door, platform) {
  if (door === "spa") return "This app";
  if (door === "web") return "Account pages";
  return shape(platform) === "phone" ? "Phone app" : "Installed app";
}

/**
 * How an ended session ended, for the list of tickets.
 * @param {string | null | undefined} reason @param {string | null} [by]
 */
export function ending(reason, by) {
  switch (reason) {
    case "signed_out":
      return "Signed out by you";
    case "signed_out_elsewhere":
      return `Signed out by you from ${by ?? "another device"}`;
    case "replaced":
      return "Replaced when you signed in again";
    case "idle":
      return "Ended because it wasn't used for a while";
    case "expired":
      return "Ended because it reached its full age";
    case "reused":
      return "Ended for your safety: somebody used a copy of its ticket";
    case "password_changed":
      return "Signed out when you changed your password";
    case "password_reset":
      return "Signed out when your password was reset";
    case "factor_changed":
      return "Signed out when your second step changed";
    case "limit":
      return "Made room for a newer sign-in";
    case "admin":
      return "Signed out by an administrator";
    default:
      return "Signed out";
  }
}

/**
 * Why this browser shows the sign-in form; empty when the person knows.
 * @param {import("./types.js").Why} why
 */
export function farewell({ code, reason, ended_by }) {
  switch (reason ?? code) {
    case undefined:
    case "signed_out":
      return "";
    case "account_closed":
      return "Your account is closed.";
    case "signed_out_elsewhere":
      return `This browser was signed out from ${ended_by ?? "another device"}.`;
    case "password_changed":
    case "password_reset":
      return "Your password was changed, so this browser was signed out. Sign in with the new one.";
    case "factor_changed":
      return "Your second step was changed, so this browser was signed out.";
    case "admin":
      return "This browser was signed out by an administrator.";
    case "limit":
      return "This browser was signed out to make room for a newer sign-in.";
    case "reused":
    case "token_reused":
      return "This browser was signed out for your safety: somebody used a copy of its ticket. Sign in, then look through your devices.";
    case "idle":
    case "expired":
    case "session_expired":
      return "You've been away for a while. Sign in to go on.";
    case "session_revoked":
      return "This browser was signed out.";
    default:
      return "Sign in again to go on.";
  }
}

/** The stub's four digits: the 32-bit FNV-1a hash of the device id, modulo 10,000. @param {string} id */
export function stubNumber(id) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(id)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return String(hash % 10_000).padStart(4, "0");
}
