// @ts-check
import { clone, part, say } from "../dom.js";
import { Problem } from "../http.js";
import { go } from "../router.js";
import { refusal } from "../words.js";
import { fieldError, onSubmit, showStrength } from "./forms.js";

export const title = "Make an account";
export const template = "view-sign-up";

/** @type {import("./shell.js").View["mount"]} */
export function mount(page, { session, api }, signal) {
  const form = /** @type {HTMLFormElement} */ (part(page, "form"));
  const register = async (/** @type {Record<string, string>} */ values) => {
    const { password } = values;
    const [email, name] = [values.email.trim(), values.name.trim()];
    try {
      const account = await api.register({ email, password, ...(name && { name }) });
      if (!account) return mailSent(page, email);
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "email_taken") throw error;
      return fieldError(form, "email", refusal(error));
    }
    await session.login(email, password);
    go("");
  };
  form.querySelector("input")?.focus();
  const { email, password } = /** @type {Record<string, HTMLInputElement>} */ (/** @type {unknown} */ (form.elements));
  void showStrength(password, part(page, "strength"), () => [email.value]);
  onSubmit(form, register, signal);
}

/** @param {HTMLElement} page @param {string} email */
function mailSent(page, email) {
  const next = clone("view-mail-sent");
  say(next, { text: `We've sent a message to ${email}. Follow the link in it to go on.` });
  part(page, "body").replaceChildren(next);
}
