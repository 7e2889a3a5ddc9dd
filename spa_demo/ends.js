// @ts-check
/** How sessions end: three codes of the contract, and nothing else a server or a proxy may say. */
import { Problem } from "./http.js";

const CODES = new Set(["session_expired", "session_revoked", "token_reused"]);
const NO_TICKET = new Set(["unauthenticated", "token_invalid"]);
const WANTED = new Set(["signed_out", "account_closed"]);

/** @typedef {import("./types.js").Why} Why */

/** @param {unknown} error @returns {error is Problem} */
export const endsSession = (error) => error instanceof Problem && CODES.has(error.code);

/** At a refresh: there is no ticket, or one nobody can read. Nothing has ended, but there is nothing to go on with. */
export const hasNoTicket = (/** @type {unknown} */ error) => error instanceof Problem && NO_TICKET.has(error.code);

/** What a refusal tells about the end of a session. @param {Problem} problem @returns {Why} */
export function why({ code, body: { reason, ended_by } }) {
  return { code, ...(reason && { reason }), ...(ended_by && { ended_by }) };
}

/** Did the person want it so? @param {Why} words */
export const wanted = ({ reason }) => WANTED.has(reason ?? "");
