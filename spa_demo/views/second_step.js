// @ts-check
/** The step after the password. `METHODS` is the place for another way, such as a passkey: a method not in it isn't offered. */
import { part, say } from "../dom.js";
import { onSubmit } from "./forms.js";

/** @type {Record<string, { label: string, hint: string, offer: string, mode: string }>} */
const METHODS = {
  totp: {
    label: "Code",
    hint: "Enter the six digits your authenticator app shows.",
    offer: "Use the authenticator app",
    mode: "numeric",
  },
  recovery_code: {
    label: "Recovery code",
    hint: "Enter one of the codes you kept when you set this up. Each works once.",
    offer: "Use a recovery code",
    mode: "text",
  },
};

/**
 * @param {HTMLElement} page
 * @param {import("../session.js").Session} session
 * @param {{ challenge_token: string, methods: string[] }} challenge kept in this closure only
 * @param {() => void} back
 * @param {AbortSignal} signal
 */
export function secondStep(page, session, { challenge_token, methods }, back, signal) {
  const form = /** @type {HTMLFormElement} */ (part(page, "form"));
  const offered = methods.filter((name) => name in METHODS);
  let at = 0;
  const show = () => {
    const { label, hint, mode } = METHODS[offered[at]];
    const other = offered[(at + 1) % offered.length];
    say(page, { label, hint, other: METHODS[other].offer });
    part(page, "other").hidden = offered.length < 2;
    const input = /** @type {HTMLInputElement} */ (form.elements.namedItem("code"));
    input.inputMode = mode;
    input.value = "";
  };
  if (offered.length) show();
  else say(page, { hint: "This account asks for a second step this app doesn't know yet. Use the account pages instead." });
  form.hidden = !offered.length;
  part(page, "other").hidden = offered.length < 2;
  part(page, "other").addEventListener("click", () => {
    at = (at + 1) % offered.length;
    show();
  });
  part(page, "back").addEventListener("click", back);
  onSubmit(form, ({ code }) => session.verify(challenge_token, offered[at], { code: code.trim() }), signal);
}
