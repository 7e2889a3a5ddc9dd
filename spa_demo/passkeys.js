// @ts-check
/** Passkeys: what the server asks is JSON, what the browser takes is bytes, and the answer is JSON again (WebAuthn level 3). */
import { send } from "./http.js";

/** @typedef {{ challenge_token: string, public_key: any }} Ceremony */

/** The person closed the browser's window, or it was too late: nothing to tell. */
export class NotGiven extends Error {}

export const canUsePasskeys = () => typeof PublicKeyCredential === "function" && !!navigator.credentials;

/** Can a passkey be offered while the address is filled in? */
export async function canOfferInField() {
  return canUsePasskeys() && !!(await PublicKeyCredential.isConditionalMediationAvailable?.());
}

/**
 * Sign a challenge: of something pending, or any that begins a sign-in.
 * @param {string} [pending] @param {AbortSignal} [signal] @param {CredentialMediationRequirement} [mediation]
 */
export async function sign(pending, signal, mediation) {
  const json = pending ? { challenge_token: pending } : {};
  /** @type {Ceremony} */
  const { challenge_token, public_key } = await send("POST", "/v1/passkeys/options", { json, signal });
  const publicKey = { ...public_key, challenge: bytes(public_key.challenge), allowCredentials: public_key.allowCredentials.map(known) };
  const found = await given(navigator.credentials.get({ publicKey, signal, mediation }));
  const response = /** @type {AuthenticatorAssertionResponse} */ (found.response);
  const { clientDataJSON, authenticatorData, signature, userHandle } = response;
  const signed = { clientDataJSON: text(clientDataJSON), authenticatorData: text(authenticatorData), signature: text(signature) };
  return { challenge_token, credential: told(found, { ...signed, userHandle: userHandle && text(userHandle) }) };
}

/** A new passkey for what the server asks. @param {any} public_key */
export async function create(public_key) {
  const { challenge, user, excludeCredentials } = public_key;
  const publicKey = {
    ...public_key,
    challenge: bytes(challenge),
    user: { ...user, id: bytes(user.id) },
    excludeCredentials: excludeCredentials.map(known),
  };
  const found = await given(navigator.credentials.create({ publicKey }));
  const response = /** @type {AuthenticatorAttestationResponse} */ (found.response);
  const { clientDataJSON, attestationObject } = response;
  const transports = response.getTransports?.() ?? [];
  return told(found, { clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject), transports });
}

/** @param {Promise<Credential | null>} asked */
async function given(asked) {
  const found = await asked.catch((error) => {
    throw error?.name === "InvalidStateError" ? error : new NotGiven();
  });
  if (!found) throw new NotGiven();
  return /** @type {PublicKeyCredential} */ (found);
}

/** @param {PublicKeyCredential} found @param {object} response */
const told = ({ id, type, authenticatorAttachment }, response) => ({ id, rawId: id, type, authenticatorAttachment, response });

/** @param {{ id: string }} one */
const known = (one) => ({ ...one, id: bytes(one.id) });

/** @param {string} base64url */
function bytes(base64url) {
  return Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
}

/** @param {ArrayBuffer} buffer */
function text(buffer) {
  const characters = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(characters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
