// @ts-check
/**
 * A question before something that can't be undone. The answer is the work itself: what goes wrong is said in the dialog.
 * If the server wants a fresh proof first, the dialog asks for the password and then does the work.
 */
import { clone, part, say } from "../dom.js";
import { Problem } from "../http.js";
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
      say(dialog, { title, text, yes });
      askForPassword(form, false);
      part(dialog, "no").addEventListener("click", () => dialog.close());
      dialog.addEventListener("close", () => {
        closed.abort();
        dialog.remove();
        resolve(done);
      });
      session.addEventListener("change", () => session.state === "in" || dialog.close(), { signal: closed.signal });
      onSubmit(
        form,
        async ({ password }) => {
          if (password) await api.prove({ password });
          try {
            await work();
          } catch (error) {
            if (!(error instanceof Problem) || error.code !== "reauthentication_required") throw error;
            say(dialog, { text: `${text} Enter your password to go on.` });
            return askForPassword(form, true);
          }
          done = true;
          dialog.close();
        },
        closed.signal,
      );
      place.append(dialog);
      dialog.showModal();
    });
}

/** @param {HTMLFormElement} form @param {boolean} wanted */
function askForPassword(form, wanted) {
  const input = /** @type {HTMLInputElement} */ (form.elements.namedItem("password"));
  part(form, "secret").hidden = input.disabled = !wanted;
  input.value = "";
  input.focus();
}
