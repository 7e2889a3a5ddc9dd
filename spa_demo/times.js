// @ts-check
/** Times in words: relative up to a week, then dates. Days are the person's own calendar days. */
import { serverNow } from "./clock.js";

const MINUTE = 60_000;
const DAY = 86_400_000;

/** @param {string} at "just now", "4 minutes ago", "today, 09:12", "yesterday, 18:40", "Sunday 20:15", "3 November" */
export function ago(at) {
  const then = new Date(at);
  const minutes = Math.floor((serverNow().getTime() - then.getTime()) / MINUTE);
  if (minutes < 1) return "just now";
  if (minutes < 60) return minutes === 1 ? "a minute ago" : `${minutes} minutes ago`;
  return day(then, true);
}

/** @param {string} at "today, 09:12", "yesterday, 18:40", "Friday", "3 November" */
export const since = (at) => day(new Date(at), false);

/** @param {string} at "today, 18:00", "tomorrow, 09:12", "3 December" */
export function until(at) {
  const then = new Date(at);
  const days = daysBetween(serverNow(), then);
  if (days < 1) return `today, ${clock(then)}`;
  return days === 1 ? `tomorrow, ${clock(then)}` : date(then);
}

/** @param {Date} then @param {boolean} exact also say the time of a weekday */
function day(then, exact) {
  const days = daysBetween(then, serverNow());
  if (days < 1) return `today, ${clock(then)}`;
  if (days === 1) return `yesterday, ${clock(then)}`;
  if (days > 6) return date(then);
  const weekday = then.toLocaleDateString("en-GB", { weekday: "long" });
  return exact ? `${weekday} ${clock(then)}` : weekday;
}

/** @param {Date} then */
function date(then) {
  const year = then.getFullYear() === serverNow().getFullYear() ? undefined : "numeric";
  return then.toLocaleDateString("en-GB", { day: "numeric", month: "long", year });
}

/** @param {Date} then */
const clock = (then) => then.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

/** @param {Date} from @param {Date} to whole calendar days, summer time included */
function daysBetween(from, to) {
  const midnight = (/** @type {Date} */ d) => Date.UTC(d.getFullYear(), d.getMonth(), d.getDate());
  return (midnight(to) - midnight(from)) / DAY;
}
