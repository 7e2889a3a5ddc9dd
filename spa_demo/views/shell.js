// @ts-check
/** The frame: decides which view is on the page, from the session's state and the address, and swaps views. */
import { clone, part, say } from "../dom.js";
import { Superseded, Unreachable } from "../http.js";
import { route } from "../router.js";
import { refusal } from "../words.js";
import * as signIn from "./sign_in.js";
import * as signUp from "./sign_up.js";

/**
 * @typedef {object} App  what a view is given
 * @property {import("../session.js").Session} session
 * @property {import("../api.js").Api} api
 * @property {import("../events.js").Events} events
 * @property {(text: string, tone?: "ok" | "warn") => void} toast
 * @property {ReturnType<typeof import("./ask.js").makeAsk>} ask
 *
 * @typedef {object} View
 * @property {string} title
 * @property {string} template
 * @property {(page: HTMLElement, app: App, signal: AbortSignal) => Promise<void> | void} mount
 *   fills the page; listeners end with `signal`
 */

/** @type {Record<string, View>} */
const OUTSIDE = { "sign-up": signUp };

export class Shell {
  #app;
  #main = /** @type {HTMLElement} */ (document.getElementById("main"));
  #nav = /** @type {HTMLElement} */ (document.getElementById("nav"));
  #mounted = new AbortController();
  /** @type {View | null} */
  #view = null;
  #generation = -1;
  #waiting = false;

  /** @param {App} app */
  constructor(app) {
    this.#app = app;
  }

  /** Put the right view on the page, unless it is there already. */
  async show() {
    const { state } = this.#app.session;
    if (state === "starting") return;
    if (state === "out") return this.#put(OUTSIDE[route()] ?? signIn);
    const inside = await import("./inside.js").catch(() => null);
    // Fetching took a moment: what is shown follows what is the case now.
    if (this.#app.session.state !== "in") return;
    if (inside) this.#put(inside.INSIDE[route()] ?? inside.INSIDE[""]);
    else this.#broken("A part of the app didn't arrive. Check your connection, then try again.", () => location.reload());
  }

  /** @param {View} view */
  #put(view) {
    const { state, generation } = this.#app.session;
    this.#nav.hidden = state !== "in";
    for (const link of this.#nav.querySelectorAll("a")) mark(link, link.dataset.route === route());
    if (view === this.#view && generation === this.#generation) return;
    const first = this.#view === null;
    this.#view = view;
    this.#generation = generation;
    void this.#mount(view, first);
  }

  /** The server can be reached again, or can't: fill a view that is still waiting. */
  retry() {
    const { state, trouble } = this.#app.session;
    if (state === "starting" && trouble) this.#main.replaceChildren(clone("view-waiting"));
    if (this.#waiting && !trouble && this.#view) void this.#mount(this.#view, false);
  }

  /** @param {View} view @param {boolean} first nothing was shown before: leave the focus where it is */
  async #mount(view, first) {
    this.#mounted.abort();
    const { signal } = (this.#mounted = new AbortController());
    const page = clone(view.template);
    this.#waiting = false;
    document.title = `${view.title} · Coatcheck`;
    this.#main.replaceChildren(page);
    scrollTo(0, 0);
    if (!first) this.#focus(page);
    try {
      page.classList.add("loading");
      await view.mount(page, this.#app, signal);
      page.classList.remove("loading");
    } catch (error) {
      if (!signal.aborted) this.#failed(error, view);
    }
  }

  /** @param {unknown} error @param {View} view */
  #failed(error, view) {
    if (error instanceof Superseded) return;
    this.#waiting = error instanceof Unreachable;
    if (this.#waiting) this.#main.replaceChildren(clone("view-waiting"));
    else this.#broken(refusal(error), () => void this.#mount(view, false));
  }

  /** @param {string} text @param {() => void} again */
  #broken(text, again) {
    const page = clone("view-broken");
    say(page, { text });
    part(page, "again").addEventListener("click", again);
    this.#main.replaceChildren(page);
  }

  /** A screen reader begins at the new heading; a form that focuses its own field comes after. @param {HTMLElement} page */
  #focus(page) {
    const heading = page.querySelector("h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
  }
}

/** @param {HTMLElement} link @param {boolean} here */
function mark(link, here) {
  if (here) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
}
