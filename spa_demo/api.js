// @ts-check
/** Calls with the access token. A refusal for a worn token is cured by one refresh and one retry, never more. */
import { monotonic } from "./clock.js";
import { endsSession, why } from "./ends.js";
import { Problem, send, Superseded, Unreachable } from "./http.js";

/** @typedef {import("./session.js").Session} Session */

const WORN = new Set(["token_expired", "token_invalid"]);

/**
 * Do `call` with an access token of `session`; used for calls and for the event stream alike.
 * @template T
 * @param {Session} session
 * @param {(token: string) => Promise<T>} call
 * @returns {Promise<T>}
 */
export async function authorized(session, call) {
  const { generation } = session;
  const mustBeSame = () => {
    if (generation !== session.generation) throw new Superseded();
  };
  let token = await session.accessToken();
  try {
    mustBeSame();
    const answer = await call(token).catch(async (error) => {
      if (!endsSession(error) && !(error instanceof Problem && WORN.has(error.code))) throw error;
      // Before the retry above all: what one person asked for must not be done in the name of the next.
      mustBeSame();
      token = await session.another(token, endsSession(error) ? why(error) : undefined);
      mustBeSame();
      return call(token);
    });
    mustBeSame();
    return answer;
  } catch (error) {
    mustBeSame();
    // Ended between the two tries: believed, but not tried a third time.
    if (endsSession(error)) await session.another(token, why(error));
    throw error;
  }
}

export class Api {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
  }

  /** @param {string} path */
  get(path) {
    return this.call("GET", path);
  }

  /** @param {string} method @param {string} path @param {unknown} [json] */
  async call(method, path, json) {
    try {
      const answer = await authorized(this.session, (token) => send(method, path, { token, json }));
      this.session.reached(null);
      return answer;
    } catch (error) {
      if (error instanceof Problem) this.session.reached(null);
      if (error instanceof Unreachable) this.session.reached(error);
      throw error;
    }
  }

  /**
   * After `reauthentication_required`: prove who is here, then do it again.
   * @param {{ password: string } | { challenge_token: string, method: string, code?: string, credential?: unknown }} proof
   */
  async prove(proof) {
    const asked = monotonic();
    this.session.proved(await this.call("POST", "/v1/me/reauthenticate", proof), asked);
  }

  /**
   * Make an account; needs no session. Null when the mail decides (the address has to be verified first).
   * @param {{ email: string, password: string, name?: string }} person
   * @returns {Promise<import("./types.js").Account | null>}
   */
  async register(person) {
    const answer = await send("POST", "/v1/accounts", { json: person });
    return answer?.id ? answer : null;
  }
}
