// @ts-check
import { clone, part, say } from "../dom.js";
import { Problem } from "../http.js";
import { farewell } from "../words.js";
import { forget, onSubmit } from "./forms.js";
import { secondStep } from "./second_step.js";

export const title = "Sign in";
export const template = "view-sign-in";

/** @type {import("./shell.js").View["mount"]} */
export function mount(page, { session }, signal) {
  const form = /** @type {HTMLFormElement} */ (part(page, "form"));
  const words = farewell(session.farewell);
  say(page, { farewell: words });
  part(page, "why").hidden = !words;
  const { email, password } = /** @type {Record<string, HTMLInputElement>} */ (/** @type {unknown} */ (form.elements));
  email.value = session.farewell.email;
  (email.value ? password : email).focus();
  onSubmit(form, (values) => login(page, session, values, signal), signal);
}

/**
 * @param {HTMLElement} page
 * @param {import("../session.js").Session} session
 * @param {Record<string, string>} values
 * @param {AbortSignal} signal
 */
async function login(page, session, { email, password }, signal) {
  try {
    await session.login(email.trim(), password);
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== "mfa_required") throw error;
    const next = clone("view-second-step");
    secondStep(next, session, error.body, () => next.replaceWith(page), signal);
    forget(/** @type {HTMLFormElement} */ (part(page, "form")));
    page.replaceWith(next);
    next.querySelector("input")?.focus();
  }
}
