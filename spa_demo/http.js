// @ts-check
/**
 * The only fetch() of the app. JSON in; JSON, a `Problem` or `Unreachable` out.
 *
 * Cookies travel only to `/v1/spa/*` (`cookies: true`), the access token only in the header: never both.
 */
import { heardDate } from "./clock.js";
import { API } from "./config.js";

const PATIENCE = 10_000;

/** The server answered no, with a code of the contract. */
export class Problem extends Error {
  /** @param {number} status @param {any} body @param {number} wait */
  constructor(status, body, wait) {
    super(body.code);
    this.status = status;
    /** @type {string} */
    this.code = body.code;
    /** @type {import("./types.js").FieldError[]} */
    this.errors = body.errors ?? [];
    this.wait = wait;
    this.body = body;
  }
}

/** No usable answer: offline, a timeout, a proxy's page, 5xx. Says nothing about the session. */
export class Unreachable extends Error {
  /** @param {number} [wait] seconds the server asked us to stay away */
  constructor(wait = 0) {
    super("unreachable");
    this.wait = wait;
  }
}

/** The person has moved on (signed out, signed in as somebody else): nobody may use this answer any more. */
export class Superseded extends Error {}

/**
 * @typedef {object} Options
 * @property {unknown} [json]
 * @property {string} [token]      sent as Bearer
 * @property {boolean} [cookies]   a call through the spa door
 * @property {boolean} [keepalive] finish even if the page goes away
 * @property {AbortSignal} [signal]
 */

/**
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<any>} the answer's JSON, null if it has none
 */
export async function send(method, path, options = {}) {
  const limit = AbortSignal.timeout(PATIENCE);
  const { signal } = options;
  try {
    const answer = await fetch(API + path, request(method, options, signal ? AbortSignal.any([signal, limit]) : limit));
    return await read(answer);
  } catch (error) {
    throw unusable(error, signal);
  }
}

/**
 * An open answer, for server-sent events. Only its beginning is timed.
 * @param {string} path
 * @param {string} token
 * @param {AbortSignal} signal
 * @returns {Promise<ReadableStream<Uint8Array>>}
 */
export async function stream(path, token, signal) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), PATIENCE);
  try {
    const answer = await fetch(API + path, request("GET", { token }, AbortSignal.any([signal, limit.signal]), "text/event-stream"));
    if (!answer.ok) await read(answer);
    if (!answer.body || !answer.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new Unreachable();
    return answer.body;
  } catch (error) {
    throw unusable(error, signal);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param {string} method
 * @param {Options} options
 * @param {AbortSignal} signal
 * @returns {RequestInit}
 */
function request(method, { json, token, cookies = false, keepalive = false }, signal, accept = "application/json") {
  const headers = new Headers({ Accept: accept });
  if (json !== undefined) headers.set("Content-Type", "application/json");
  if (token) headers.set("Authorization", `Bearer ${token}`);
  if (cookies) headers.set("X-Coatcheck-Client", "spa");
  return {
    method,
    headers,
    body: json === undefined ? undefined : JSON.stringify(json),
    credentials: cookies ? "include" : "omit",
    cache: "no-store",
    // A redirect is a captive portal or a misplaced proxy, never the API.
    redirect: "error",
    keepalive,
    signal,
  };
}

/** @param {Response} answer */
async function read(answer) {
  heardDate(answer.headers.get("Date"));
  // 202: a mail decides, and the answer says nothing.
  if (answer.status === 204 || (answer.status === 202 && (await answer.clone().text()) === "")) return null;
  const body = isJson(answer) ? await answer.json() : undefined;
  if (answer.ok && body !== undefined) return body;
  const wait = Number(answer.headers.get("Retry-After")) || 0;
  // A refusal without our code was written by something in between: it must not be taken for the API's word.
  if (answer.status >= 500 || typeof body?.code !== "string") throw new Unreachable(wait);
  throw new Problem(answer.status, body, wait);
}

/** @param {Response} answer */
function isJson(answer) {
  return /^application\/(problem\+)?json\b/.test(answer.headers.get("Content-Type") ?? "");
}

/** @param {unknown} error @param {AbortSignal} [signal] */
function unusable(error, signal) {
  if (signal?.aborted) return new Superseded();
  return error instanceof Problem || error instanceof Unreachable ? error : new Unreachable();
}
