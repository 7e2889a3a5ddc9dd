// @ts-check
/**
 * What a login or a refresh hands out, held in memory only. Its life is measured from before it was asked for, on the
 * monotonic clock, so neither a slow answer nor a wrong device clock stretches it.
 */
import { monotonic } from "./clock.js";

/**
 * @typedef {object} TabGrant  a grant on its way to another tab, whose monotonic clock has another zero
 * @property {string} token
 * @property {number} left
 * @property {number} life
 */

export class Grant {
  #until;
  #life;

  /** @param {string} token @param {number} until @param {number} life milliseconds */
  constructor(token, until, life) {
    const { sub, sid } = claims(token);
    this.token = token;
    /** @type {string} */
    this.accountId = sub;
    /** @type {string} */
    this.sessionId = sid;
    this.#until = until;
    this.#life = life;
  }

  /** @param {import("./types.js").GrantAnswer} answer @param {number} asked when the request left */
  static from(answer, asked) {
    const life = answer.expires_in * 1000;
    return new Grant(answer.access_token, asked + life, life);
  }

  /** @param {TabGrant} told */
  static fromTab({ token, left, life }) {
    return new Grant(token, monotonic() + left, life);
  }

  /** @returns {TabGrant} */
  forTab() {
    return { token: this.token, left: this.left(), life: this.#life };
  }

  /** Milliseconds to live. */
  left() {
    return this.#until - monotonic();
  }

  /** Is it worth sending? A tenth of its life, ten seconds at most, is kept for the way. */
  fresh() {
    return this.left() > Math.min(this.#life / 10, 10_000);
  }
}

/**
 * Whose session is it? Read, not verified: the answer came from the API itself and nothing is allowed because of it.
 * @param {string} token
 */
function claims(token) {
  const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(atob(payload));
}
