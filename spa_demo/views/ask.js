// @ts-check
/**
 * A question before something that can't be undone. The answer is the work itself: what goes wrong is said in the dialog.
 * If the server wants a fresh proof first, the dialog asks for the password, and for the second step of who has one, and
 * then does the work.
 */
import { clone, part, say } from "../dom.js";
import { Problem } from "../http.js";
import { canUsePasskeys, NotGiven, sign } from "../passkeys.js";
import { refusal } from "../words.js";
import { onSubmit } from "./forms.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string} text
 * @property {string} yes       the button that does it
 * @property {() => Promise<unknown>} work
 */

/** @param {HTMLElement} place @param {import("../api.js").Api} api a question is void when its session ends */
export function makeAsk(place, api) {
  const { session } = api;
  /** @param {Question} question @returns {Promise<boolean>} was it done? */
  return ({ title, text, yes, work }) =>
    new Promise((resolve) => {
      const dialog = /** @type {HTMLDialogElement} */ (clone("question"));
      const form = /** @type {HTMLFormElement} */ (part(dialog, "form"));
      const closed = new AbortController();
      let done = false;
      let challenge = "";
      const finish = async () => {
        await work();
        done = true;
        dialog.close();
      };
      say(dialog, { title, text, yes });
      askFor(form, null);
      const passkey = part(form, "passkey");
      passkey.addEventListener("click", async () => {
        if (form.getAttribute("aria-busy") === "true") return;
        form.setAttribute("aria-busy", "true");
        try {
          const { challenge_token, credential } = await sign(challenge, closed.signal);
          await api.prove({ challenge_token, method: "passkey", credential });
          await finish();
        } catch (error) {
          if (!(error instanceof NotGiven)) say(form, { error: refusal(error) });
        } finally {
          form.removeAttribute("aria-busy");
        }
      });
      part(dialog, "no").addEventListener("click", () => dialog.close());
      dialog.addEventListener("close", () => {
        closed.abort();
        dialog.remove();
        resolve(done);
      });
      session.addEventListener("change", () => session.state === "in" || dialog.close(), { signal: closed.signal });
      onSubmit(
        form,
        async ({ password, code }) => {
          try {
            if (password) await api.prove({ password });
            if (code) await api.prove({ challenge_token: challenge, method: method(code), code: code.trim() });
            await finish();
          } catch (error) {
            if (!(error instanceof Problem)) throw error;
            if (error.code === "reauthentication_required") {
              say(dialog, { text: `${text} Enter your password to go on.` });
              return askFor(form, "password");
            }
            if (error.code !== "mfa_required") throw error;
            challenge = error.body.challenge_token;
            say(dialog, { text: `${text} One more step, to be sure it's you.` });
            askFor(form, "code");
            passkey.hidden = !canUsePasskeys() || !error.body.methods.includes("passkey");
          }
        },
        closed.signal,
      );
      place.append(dialog);
      dialog.showModal();
    });
}

/** Six digits are the app's. @param {string} code */
const method = (code) => (/^\s*\d{3}\s?\d{3}\s*$/.test(code) ? "totp" : "recovery_code");

/** @param {HTMLFormElement} form @param {"password" | "code" | null} wanted */
function askFor(form, wanted) {
  for (const [name, box] of [["password", "secret"], ["code", "second"]]) {
    const input = /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
    part(form, box).hidden = input.disabled = name !== wanted;
    input.value = "";
    if (name === wanted) input.focus();
  }
}
