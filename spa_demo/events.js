// @ts-check
/**
 * What happens to this account, as it happens: `GET /v1/events`. Read by fetch, because EventSource can't send the
 * access token. A convenience: without it the next call tells. Only a visible page listens, so that many tabs don't use
 * up the browser's connections.
 *
 * Events: the server's own (`session.started`, `session.ended`, ...; data in `detail`) and `resumed` after a gap.
 */
import { authorized } from "./api.js";
import { Problem, stream } from "./http.js";

const LONGEST_PAUSE = 30_000;
const LONGEST_SILENCE = 45_000; // the server says something every 15 s
const NOT_OFFERED = new Set([404, 405, 501]);

export class Events extends EventTarget {
  #session;
  /** @type {AbortController | null} */
  #listening = null;
  #generation = -1;
  #offered = true;

  /** @param {import("./session.js").Session} session */
  constructor(session) {
    super();
    this.#session = session;
    session.addEventListener("change", () => this.#adjust());
    for (const name of ["pageshow", "pagehide"]) addEventListener(name, () => this.#adjust(name));
    document.addEventListener("visibilitychange", () => this.#adjust());
    addEventListener("online", () => this.#listening && this.#restart());
  }

  /** @param {string} [cause] */
  #adjust(cause) {
    const { state, generation } = this.#session;
    // An open stream would keep the page out of the back-forward cache.
    const wanted = state === "in" && document.visibilityState === "visible" && cause !== "pagehide";
    if (!wanted || !this.#offered) this.#stop();
    else if (!this.#listening || generation !== this.#generation) this.#restart();
  }

  #stop() {
    this.#listening?.abort();
    this.#listening = null;
  }

  #restart() {
    this.#stop();
    this.#listening = new AbortController();
    this.#generation = this.#session.generation;
    void this.#follow(this.#listening.signal);
  }

  /** Connect, and connect again. @param {AbortSignal} signal */
  async #follow(signal) {
    let [connections, failures] = [0, 0];
    while (!signal.aborted) {
      try {
        await this.#listen(signal, () => {
          if (connections) this.#emit("resumed", null);
          connections += 1;
          failures = 0;
        });
      } catch (error) {
        if (error instanceof Problem && NOT_OFFERED.has(error.status)) {
          this.#offered = false;
          return this.#stop();
        }
      }
      await pause(Math.min(LONGEST_PAUSE, 500 * 2 ** failures) * (0.5 + Math.random() / 2), signal);
      failures += 1;
    }
  }

  /** One connection, to its end. @param {AbortSignal} signal @param {() => void} opened */
  async #listen(signal, opened) {
    let used = "";
    // A line that died while the device slept never says so: silence ends it.
    const silence = new AbortController();
    const either = AbortSignal.any([signal, silence.signal]);
    let timer = 0;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), LONGEST_SILENCE);
    };
    try {
      const body = await authorized(this.#session, (token) => stream("/v1/events", (used = token), either));
      heard();
      opened();
      for await (const message of messages(body, heard)) await this.#tell(message, used);
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {{ name: string, data: any }} message @param {string} used the token that listens */
  async #tell({ name, data }, used) {
    const own = data.session_id === this.#session.id && (name === "session.ended" || name === "signed_out");
    if (own) await this.#session.another(used, ended(data));
    else this.#emit(name, data);
  }

  /** @param {string} name @param {unknown} detail */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** @param {import("./types.js").EndedEvent} data @returns {import("./types.js").Why} */
function ended({ reason, ended_by }) {
  return { code: "session_revoked", reason, ended_by };
}

/**
 * Server-sent events, as the HTML standard frames them.
 * @param {ReadableStream<Uint8Array>} body @param {() => void} heard called for every sign of life
 */
async function* messages(body, heard) {
  const decoder = /** @type {ReadableWritablePair<string, Uint8Array>} */ (new TextDecoderStream());
  const reader = body.pipeThrough(decoder).getReader();
  let rest = "";
  let name = "message";
  let data = "";
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    heard();
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (field === "event") name = text;
      if (field === "data") data += text;
      if (line !== "") continue;
      if (data) yield { name, data: JSON.parse(data) };
      name = "message";
      data = "";
    }
  }
}

/** @param {number} time @param {AbortSignal} signal */
function pause(time, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, time);
    signal.addEventListener("abort", () => resolve(clearTimeout(timer)), { once: true });
  });
}
