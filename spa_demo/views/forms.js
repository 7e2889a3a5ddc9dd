// @ts-check
/** Forms: one submit at a time, what is wrong said beside the field, a password that can be looked at. */
import { icon } from "../dom.js";
import { Problem, Superseded } from "../http.js";
import { refusal } from "../words.js";

/**
 * @param {HTMLFormElement} form
 * @param {(values: Record<string, string>) => Promise<unknown>} work
 * @param {AbortSignal} signal
 */
export function onSubmit(form, work, signal) {
  for (const box of form.querySelectorAll(".secret")) addReveal(/** @type {HTMLElement} */ (box));
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (form.getAttribute("aria-busy") === "true") return;
    clearErrors(form);
    if (!complete(form)) return;
    form.setAttribute("aria-busy", "true");
    try {
      await work(/** @type {Record<string, string>} */ (Object.fromEntries(new FormData(form))));
    } catch (error) {
      if (!(error instanceof Superseded)) showError(form, error);
    } finally {
      form.removeAttribute("aria-busy");
    }
  };
  form.addEventListener("submit", submit, { signal });
}

/** @param {HTMLFormElement} form @param {string} name @param {string} text */
export function fieldError(form, name, text) {
  const input = form.elements.namedItem(name);
  const place = form.querySelector(`[data-error="${CSS.escape(name)}"]`);
  if (!(input instanceof HTMLInputElement) || !place) return false;
  place.textContent = text;
  input.setAttribute("aria-invalid", "true");
  if (!form.contains(document.activeElement) || document.activeElement?.getAttribute("aria-invalid") !== "true") input.focus();
  return true;
}

/** Empty the passwords of a form that is done with them. @param {HTMLFormElement} form */
export function forget(form) {
  for (const input of form.querySelectorAll(".secret input")) /** @type {HTMLInputElement} */ (input).value = "";
}

/**
 * Say how hard a new password is to guess, while it is typed. Not part of the first load.
 * @param {HTMLInputElement} input @param {HTMLElement} place @param {() => string[]} known
 */
export async function showStrength(input, place, known) {
  const found = await import("../strength.js").catch(() => null); // without it the server still says what is wrong
  found?.watch(input, place, known);
}

/** @param {HTMLFormElement} form @param {unknown} error */
function showError(form, error) {
  if (error instanceof Problem && placed(form, error)) return;
  const place = form.querySelector('[data-part="error"]');
  if (place) place.textContent = refusal(error);
}

/** What `invalid_credentials` means where only one thing was asked for. */
const WRONG = {
  current_password: "This isn't your password. Try again.",
  password: "This isn't your password. Try again.",
  code: "This code doesn't fit. Enter the newest one, or go another way.",
};

/** @param {HTMLFormElement} form @param {Problem} problem could it be said beside a field? */
function placed(form, { code, errors }) {
  if (code === "invalid_credentials" && !form.elements.namedItem("email"))
    return Object.entries(WRONG).some(([name, text]) => fieldError(form, name, text));
  return errors.filter(({ field, message }) => fieldError(form, lastPart(field), message)).length > 0;
}

/** `body.password` and `password` mean the same input. @param {string} field */
const lastPart = (field) => field.split(".").at(-1) ?? "";

/** What can be said without asking the server. @param {HTMLFormElement} form */
function complete(form) {
  const wrong = [...form.querySelectorAll("input")].filter((input) => !input.checkValidity());
  for (const input of wrong) fieldError(form, input.name, missing(input));
  return wrong.length === 0;
}

/** @param {HTMLInputElement} input */
function missing(input) {
  if (!input.validity.valueMissing) return "This doesn't look like an email address. Is there an @ in it?";
  return input.type === "email" ? "Enter your email address." : "Fill this in, please.";
}

/** @param {HTMLFormElement} form */
function clearErrors(form) {
  for (const place of form.querySelectorAll('[data-error], [data-part="error"]')) place.textContent = "";
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

/** @param {HTMLElement} box */
function addReveal(box) {
  const input = /** @type {HTMLInputElement} */ (box.querySelector("input"));
  const button = document.createElement("button");
  button.type = "button";
  button.className = "icon-button";
  const sign = /** @type {HTMLElement} */ (document.querySelector("#trouble svg")?.cloneNode(true));
  button.append(sign);
  const show = (/** @type {boolean} */ open) => {
    input.type = open ? "text" : "password";
    button.setAttribute("aria-label", open ? "Hide password" : "Show password");
    icon(sign, open ? "eye-off" : "eye");
  };
  show(false);
  button.addEventListener("click", () => show(input.type === "password"));
  // Hidden again before it is sent: browsers offer to keep what a text field held.
  input.form?.addEventListener("submit", () => show(false));
  box.append(button);
}
