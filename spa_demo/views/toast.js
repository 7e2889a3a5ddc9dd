// @ts-check
import { icon } from "../dom.js";

const STAY = 6_000;
const MOST = 3;

/** On a touch screen nothing hovers: a long press tells the exact time. */
export function tellTimesOnTouch() {
  addEventListener("contextmenu", (event) => {
    const time = /** @type {HTMLElement} */ (event.target).closest("time");
    if (!time || /** @type {PointerEvent} */ (event).pointerType !== "touch") return;
    event.preventDefault();
    toast(time.title);
  });
}

/**
 * A short notice at the edge of the page, read out by screen readers; the same things can be seen in the activity.
 * @param {string} text @param {"ok" | "warn"} [tone]
 */
export function toast(text, tone = "ok") {
  const box = /** @type {HTMLElement} */ (document.getElementById("toasts"));
  const notice = document.createElement("div");
  notice.className = `notice ${tone}`;
  const sign = /** @type {HTMLElement} */ (document.querySelector("#trouble svg")?.cloneNode(true));
  icon(sign, tone === "ok" ? "check" : "alert");
  const words = document.createElement("p");
  words.textContent = text;
  notice.append(sign, words);
  box.append(notice);
  if (box.children.length > MOST) box.firstElementChild?.remove();
  setTimeout(() => notice.remove(), STAY);
}
