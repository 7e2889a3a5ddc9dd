// @ts-check
import { API } from "../config.js";
import { clone, part, say } from "../dom.js";
import { Problem } from "../http.js";
import { canOfferInField, canUsePasskeys, NotGiven, sign } from "../passkeys.js";
import { farewell, refusal } from "../words.js";
import { forget, onSubmit } from "./forms.js";
import { secondStep } from "./second_step.js";

export const title = "Sign in";
export const template = "view-sign-in";

/** @typedef {import("../session.js").Session} Session */

/** @type {import("./shell.js").View["mount"]} */
export function mount(page, { session }, signal) {
  const form = /** @type {HTMLFormElement} */ (part(page, "form"));
  const words = farewell(session.farewell);
  say(page, { farewell: words });
  part(page, "why").hidden = !words;
  const { email, password } = /** @type {Record<string, HTMLInputElement>} */ (/** @type {unknown} */ (form.elements));
  /** @type {HTMLAnchorElement} */ (part(page, "forgot")).href = `${API}/account/forgot`;
  email.value = session.farewell.email;
  (email.value ? password : email).focus();
  onSubmit(form, (values) => login(page, session, values, signal), signal);
  offerPasskeys(page, session, signal);
}

/**
 * @param {HTMLElement} page
 * @param {Session} session
 * @param {Record<string, string>} values
 * @param {AbortSignal} signal
 */
async function login(page, session, { email, password }, signal) {
  try {
    await orMakeRoom(page, page, session, signal, () => session.login(email.trim(), password));
    forget(/** @type {HTMLFormElement} */ (part(page, "form")));
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== "mfa_required") throw error;
    const next = clone("view-second-step");
    forget(/** @type {HTMLFormElement} */ (part(page, "form")));
    page.replaceWith(next);
    /** @type {import("./second_step.js").Go} */
    const go = (work) => orMakeRoom(next, page, session, signal, work);
    secondStep(next, session, error.body, () => next.replaceWith(page), signal, go);
  }
}

/**
 * Do `work`, a sign-in; if there is no room for one more, the choice which gives way takes the place of `here`.
 * @param {HTMLElement} here @param {HTMLElement} start @param {Session} session @param {AbortSignal} signal
 * @param {() => Promise<void>} work
 */
async function orMakeRoom(here, start, session, signal, work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== "session_limit" || !error.body.challenge_token) throw error;
    const { makeRoom } = await import("./no_room.js"); // few ever see it
    makeRoom(here, start, session, signal, error, (page, next) => orMakeRoom(page, start, session, signal, next));
  }
}

/**
 * By the button, and in the list that the browser shows under the address. One request at a time: the button ends the
 * one in the field.
 * @param {HTMLElement} page @param {Session} session @param {AbortSignal} signal
 */
function offerPasskeys(page, session, signal) {
  const button = part(page, "passkey");
  button.hidden = !canUsePasskeys();
  let inField = new AbortController();
  signal.addEventListener("abort", () => inField.abort());
  const wait = async () => {
    inField = new AbortController();
    if (await canOfferInField()) while (await enter(page, session, inField.signal, "conditional"));
  };
  button.addEventListener(
    "click",
    async () => {
      if (button.getAttribute("aria-busy") === "true") return;
      button.setAttribute("aria-busy", "true");
      inField.abort();
      await enter(page, session, signal);
      button.removeAttribute("aria-busy");
      if (!signal.aborted) void wait();
    },
    { signal },
  );
  void wait();
}

/**
 * Was it too late, and worth another try?
 * @param {HTMLElement} page @param {Session} session @param {AbortSignal} signal @param {CredentialMediationRequirement} [mediation]
 */
async function enter(page, session, signal, mediation) {
  try {
    const { challenge_token, credential } = await sign(undefined, signal, mediation);
    if (signal.aborted) return false;
    await orMakeRoom(page, page, session, signal, () => session.verify(challenge_token, "passkey", { credential }));
    return false;
  } catch (error) {
    // What went wrong unasked, in the field, is told when the person asks.
    if (signal.aborted || error instanceof NotGiven || (mediation && !(error instanceof Problem))) return false;
    const unfit = error instanceof Problem && error.code === "invalid_credentials";
    say(page, { error: unfit ? "This passkey can't be used here. Sign in with your password." : refusal(error) });
    return error instanceof Problem && error.code === "challenge_expired";
  }
}
