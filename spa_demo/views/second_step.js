// @ts-check
/** The step after the password. A method that is not in `METHODS` isn't offered. */
import { part, say } from "../dom.js";
import { canUsePasskeys, NotGiven, sign } from "../passkeys.js";
import { onSubmit } from "./forms.js";

/** @type {Record<string, { label: string, hint: string, offer: string, mode: string }>} */
const METHODS = {
  passkey: {
    label: "",
    hint: "Confirm with your fingerprint, face, PIN or security key.",
    offer: "Use a passkey",
    mode: "none",
  },
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

/** @typedef {(work: () => Promise<void>) => Promise<void>} Go  sees to what may come after this step */

/**
 * @param {HTMLElement} page
 * @param {import("../session.js").Session} session
 * @param {{ challenge_token: string, methods: string[] }} challenge kept in this closure only
 * @param {() => void} back
 * @param {AbortSignal} signal
 * @param {Go} go
 */
export function secondStep(page, session, { challenge_token, methods }, back, signal, go) {
  const form = /** @type {HTMLFormElement} */ (part(page, "form"));
  const offered = methods.filter((name) => name in METHODS && (name !== "passkey" || canUsePasskeys()));
  const input = /** @type {HTMLInputElement} */ (form.elements.namedItem("code"));
  let at = 0;
  const show = () => {
    const { label, hint, mode } = METHODS[offered[at]];
    const other = offered[(at + 1) % offered.length];
    say(page, { label, hint, other: METHODS[other].offer });
    part(form, "field").hidden = input.disabled = mode === "none";
    input.inputMode = mode;
    input.value = "";
    input.focus();
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
  onSubmit(form, ({ code }) => go(() => answer(session, challenge_token, offered[at], code, signal)), signal);
}

/** @param {import("../session.js").Session} session @param {string} challenge @param {string} method @param {string} code @param {AbortSignal} signal */
async function answer(session, challenge, method, code, signal) {
  if (method !== "passkey") return session.verify(challenge, method, { code: code.trim() });
  try {
    const { challenge_token, credential } = await sign(challenge, signal);
    await session.verify(challenge_token, method, { credential });
  } catch (error) {
    if (!(error instanceof NotGiven)) throw error;
  }
}
