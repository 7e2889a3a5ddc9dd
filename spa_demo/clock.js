// @ts-check
/**
 * Two clocks. Lifetimes are measured on the monotonic one, which nobody can set; words like "yesterday" follow the
 * server's calendar, so they are right on a device whose own clock is a day off.
 */
let ahead = 0;

/** Milliseconds on a clock that only runs forward. It may stand still while the device sleeps. */
export const monotonic = () => performance.now();

/** Learn the server's time from an answer's `Date`; another origin hides it, then the device's clock has to do. */
export function heardDate(/** @type {string | null} */ header) {
  const at = header ? Date.parse(header) : NaN;
  if (!Number.isNaN(at)) ahead = at - Date.now();
}

export const serverNow = () => new Date(Date.now() + ahead);
