// @ts-check
/**
 * This browser's session, as one tab sees it.
 *
 * The access token lives in this object, the refresh token in a cookie no script can read. A session ends when the
 * person signs out or when the server says so with one of three codes. Everything else (no network, a proxy's 404, 429,
 * 5xx, a timeout) is trouble on the way: it is shown, and the session stays.
 *
 * Events: `change` (state or account), `reach` (the server can or can't be reached).
 */
import { monotonic } from "./clock.js";
import { endsSession, hasNoTicket, wanted, why } from "./ends.js";
import { Grant } from "./grant.js";
import { Problem, send, Superseded, Unreachable } from "./http.js";
import * as notes from "./notes.js";
import { Tabs } from "./tabs.js";

/** @typedef {import("./types.js").Account} Account @typedef {import("./types.js").Why} Why */

export class Session extends EventTarget {
  /** @type {"starting" | "in" | "out"} */
  state = "starting";
  /** @type {Account | null} */
  account = null;
  /** @type {Unreachable | null} */
  trouble = null;
  /** @type {Why & { email: string }} */
  farewell = { email: "" };
  /** Counts logins and endings: an answer to a question of an earlier count is nobody's. */
  generation = 0;
  /** @type {string | null} */
  id = null;

  /** @type {Grant | null} */
  #grant = null;
  /** @type {Promise<void> | null} */
  #refreshing = null;
  /** @type {Promise<void> | null} */
  #goodbye = null;
  #entering = false;
  #leash = new AbortController();
  /** @type {Set<string>} */
  #dead = new Set();
  /** @type {Why} */
  #lastWords = {};
  #waitUntil = 0;
  #tabs = new Tabs((message) => this.#hear(message));

  /** Find out whether this browser holds a ticket: at page load, and again after trouble. */
  async start() {
    if (notes.standing() === "leaving") {
      this.#leave({ reason: "signed_out" });
      return this.#sayGoodbye();
    }
    if (this.state === "starting") await this.refresh();
  }

  /** @param {string} email @param {string} password */
  login(email, password) {
    return this.#enter("/v1/spa/login", { email, password });
  }

  /**
   * The next step, after `mfa_required` or `session_limit`.
   * @param {string} challenge @param {string} method @param {{ code: string } | { credential: unknown } | { session_id: string }} proof
   */
  verify(challenge, method, proof) {
    return this.#enter("/v1/spa/login/verify", { challenge_token: challenge, method, ...proof });
  }

  /** Gone here at once. The server is told as soon as it can be reached, after a reload if need be. */
  async logout(reason = "signed_out") {
    notes.leaving();
    this.#leave({ reason });
    await this.#sayGoodbye();
  }

  /** Has the person signed out without the server knowing? */
  get owesLogout() {
    return this.state === "out" && notes.standing() === "leaving";
  }

  /** @returns {Promise<string>} an access token worth sending */
  async accessToken() {
    if (this.state === "out") throw new Superseded();
    if (!this.#grant?.fresh()) await this.refresh();
    return this.#token();
  }

  /**
   * The server refused `used`: another one, or `Superseded` when the session is over.
   * @param {string} used @param {Why} [end] given when it was refused because its session has ended
   */
  async another(used, end) {
    if (this.state === "out" || (end && this.#entering)) throw new Superseded();
    if (this.#grant && this.#grant.token !== used) return this.#token();
    if (end) this.#bury(end);
    this.#grant = null;
    try {
      // Even after an end the cookie is asked once: another tab may have signed in again, and then it is that one's.
      await this.refresh();
    } catch (error) {
      if (end) this.#leave(end);
      throw error;
    }
    return this.#token();
  }

  /** One refresh at a time; whoever asks meanwhile shares its answer. */
  refresh() {
    if (this.#refreshing) return this.#refreshing;
    const mine = this.#renew().finally(() => {
      if (this.#refreshing === mine) this.#refreshing = null;
    });
    this.#refreshing = mine;
    return mine;
  }

  /** @param {Account} account after the person changed it */
  update(account) {
    this.account = account;
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Unreachable | null} trouble how the last call went */
  reached(trouble) {
    if (trouble === this.trouble) return;
    this.trouble = trouble;
    this.dispatchEvent(new Event("reach"));
  }

  /** A fresh proof brings an access token that says so; the cookie stays. @param {import("./types.js").GrantAnswer} answer @param {number} asked */
  proved(answer, asked) {
    const grant = Grant.from(answer, asked);
    if (grant.sessionId !== this.id || !this.account) throw new Superseded();
    this.#grant = grant;
    this.#tabs.tell({ kind: "grant", grant: grant.forTab(), account: this.account });
  }

  async #renew() {
    const { generation } = this;
    const worn = this.#grant;
    await this.#tabs.alone(async (queued) => {
      // The tab that was quicker has told what it got; the lock may be here before the message.
      if (queued && this.#grant === worn) await this.#tabs.news();
      this.#mustBe(generation);
      this.#mustStay();
      if (this.#grant !== worn && this.#grant?.fresh()) return;
      try {
        await this.#exchange(generation);
      } catch (error) {
        this.#mustBe(generation);
        if (!this.#grant || this.#grant === worn) throw this.#refused(error);
      }
    });
  }

  /** @param {number} generation */
  async #exchange(generation) {
    const asked = monotonic();
    if (asked < this.#waitUntil) throw new Unreachable((this.#waitUntil - asked) / 1000);
    const { signal } = this.#leash;
    const answer = await send("POST", "/v1/spa/refresh", { cookies: true, signal });
    const grant = Grant.from(answer, asked);
    const known = this.account?.id === grant.accountId ? this.account : answer.account;
    const account = known ?? (await send("GET", "/v1/me", { token: grant.token, signal }));
    this.#mustBe(generation);
    this.#mustStay();
    if (this.#dead.has(grant.sessionId)) throw new Superseded();
    this.#welcome(grant, account);
    this.#tabs.tell({ kind: "grant", grant: grant.forTab(), account });
  }

  /** What a failed refresh means. @param {unknown} error @returns {Error} */
  #refused(error) {
    if (error instanceof Superseded) {
      // Only a ticket that another tab has given back: there is no page left to show for it.
      if (this.state === "starting") this.#leave({});
      return error;
    }
    if (error instanceof Problem && (endsSession(error) || hasNoTicket(error))) {
      // A dead cookie may stay in the jar: who has been told once, or was never here, is not told again.
      const missed = this.state === "in" || (endsSession(error) && notes.standing() === "in");
      this.#leave(missed ? why(error) : {});
      return new Superseded();
    }
    const { wait } = /** @type {Problem | Unreachable} */ (error);
    const trouble = new Unreachable(wait);
    if (wait) this.#waitUntil = monotonic() + wait * 1000;
    this.reached(trouble);
    return trouble;
  }

  /** @param {string} path @param {object} json */
  async #enter(path, json) {
    // A sign-out or a refresh still on its way would, answered late, take the new cookie with it.
    await this.#goodbye;
    this.#pull();
    this.#entering = true;
    try {
      const asked = monotonic();
      const answer = await send("POST", path, { cookies: true, json });
      const grant = Grant.from(answer, asked);
      this.#turn();
      this.#welcome(grant, answer.account);
      this.#tabs.tell({ kind: "grant", grant: grant.forTab(), account: answer.account });
    } finally {
      this.#entering = false;
    }
  }

  /** @param {Grant} grant @param {Account} account */
  #welcome(grant, account) {
    const known = this.account?.id === account.id ? this.account : null;
    if (this.account && !known) this.#turn();
    const news = this.state !== "in" || !known;
    if (this.id && this.id !== grant.sessionId) this.#dead.add(this.id);
    this.#grant = grant;
    this.id = grant.sessionId;
    this.account = known ?? account;
    this.state = "in";
    this.#lastWords = {};
    notes.signedIn(account.email);
    this.reached(null);
    if (news) this.dispatchEvent(new Event("change"));
  }

  /** @param {Why} words @param {boolean} [heard] another tab said so */
  #leave(words, heard = false) {
    if (this.state === "out") return;
    const said = { ...words, ...this.#lastWords };
    this.#lastWords = {};
    const email = this.account?.email ?? notes.address();
    if (this.id && !heard) this.#tabs.tell({ kind: "ended", session: this.id, why: said });
    this.#bury({});
    this.#turn();
    this.#grant = this.account = this.id = null;
    this.state = "out";
    // On a shared computer the next person should not find the address of the one who signed out.
    this.farewell = { ...said, email: wanted(said) ? "" : email };
    notes.signedOut(this.farewell.email);
    this.reached(null);
    this.dispatchEvent(new Event("change"));
  }

  #sayGoodbye() {
    this.#goodbye ??= send("POST", "/v1/spa/logout", { cookies: true, keepalive: true })
      .then(
        () => {
          notes.wentOut();
          this.reached(null);
        },
        (error) => this.reached(new Unreachable(error.wait)),
      )
      .finally(() => (this.#goodbye = null));
    return this.#goodbye;
  }

  /** @param {any} message from another tab of this origin */
  #hear(message) {
    if (message.kind === "ended") {
      this.#dead.add(message.session);
      if (message.session === this.id) this.#leave(message.why, true);
    }
    if (message.kind !== "grant") return;
    const grant = Grant.fromTab(message.grant);
    const older = grant.sessionId === this.id && this.#grant && grant.left() < this.#grant.left();
    if (!older && !this.#dead.has(grant.sessionId)) this.#welcome(grant, message.account);
  }

  /** This session is over: whatever still arrives for it, from this tab or another, changes nothing. @param {Why} words */
  #bury(words) {
    if (this.id) this.#dead.add(this.id);
    this.#lastWords = { ...words, ...this.#lastWords };
  }

  #turn() {
    this.generation += 1;
    this.#pull();
  }

  /** Drop the refresh in flight, with the cookie it would bring. */
  #pull() {
    this.#leash.abort();
    this.#leash = new AbortController();
    this.#refreshing = null;
  }

  /** @param {number} generation */
  #mustBe(generation) {
    if (generation !== this.generation) throw new Superseded();
  }

  /** The person signed out in a tab that can't tell this one: a session asked to end is never refreshed again. */
  #mustStay() {
    if (notes.standing() !== "leaving") return;
    this.#leave({ reason: "signed_out" });
    throw new Superseded();
  }

  #token() {
    if (!this.#grant) throw new Superseded();
    return this.#grant.token;
  }
}
