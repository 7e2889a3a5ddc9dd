// @ts-check
/** A question before something that can't be undone. The answer is the work itself: what goes wrong is said in the dialog. */
import { clone, part, say } from "../dom.js";
import { onSubmit } from "./forms.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string} text
 * @property {string} yes       the button that does it
 * @property {boolean} [password] ask for it
 * @property {(password: string) => Promise<unknown>} work
 */

/** @param {HTMLElement} place @param {EventTarget & { state: string }} session a question is void when it ends */
export function makeAsk(place, session) {
  /** @param {Question} question @returns {Promise<boolean>} was it done? */
  return ({ title, text, yes, password = false, work }) =>
    new Promise((resolve) => {
      const dialog = /** @type {HTMLDialogElement} */ (clone("question"));
      const form = /** @type {HTMLFormElement} */ (part(dialog, "form"));
      const closed = new AbortController();
      let done = false;
      say(dialog, { title, text, yes });
      if (!password) part(dialog, "secret").remove();
      part(dialog, "no").addEventListener("click", () => dialog.close());
      dialog.addEventListener("close", () => {
        closed.abort();
        dialog.remove();
        resolve(done);
      });
      session.addEventListener("change", () => session.state === "in" || dialog.close(), { signal: closed.signal });
      onSubmit(
        form,
        async (values) => {
          await work(values.password ?? "");
          done = true;
          dialog.close();
        },
        closed.signal,
      );
      place.append(dialog);
      dialog.showModal();
    });
}
