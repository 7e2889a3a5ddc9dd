// @ts-check
/**
 * The other tabs of this browser: a channel to tell them things, and a turn-taking lock. Both are a courtesy that saves
 * requests. The server is right without them, so a missing, broken or orphaned lock costs at most five seconds, once.
 */
const NAME = "coatcheck";
const LOCK_PATIENCE = 5_000;
const NEWS_PATIENCE = 250;

export class Tabs {
  #channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(NAME) : null;
  #useLock = Boolean(globalThis.navigator?.locks);

  /** @param {(message: any) => void} heard */
  constructor(heard) {
    this.#channel?.addEventListener("message", (event) => heard(event.data));
  }

  /** @param {object} message never stored, same origin only */
  tell(message) {
    this.#channel?.postMessage(message);
  }

  /** Until another tab says something; not long, it may have nothing to say. */
  news() {
    return new Promise((resolve) => {
      if (!this.#channel) return resolve(null);
      setTimeout(resolve, NEWS_PATIENCE);
      this.#channel.addEventListener("message", resolve, { once: true });
    });
  }

  /**
   * Run `work` while no other tab runs its own; it is told whether it had to queue behind one.
   * @param {(queued: boolean) => Promise<void>} work
   */
  async alone(work) {
    if (!this.#useLock) return work(false);
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), LOCK_PATIENCE);
    let begun = false;
    const turn = (/** @type {boolean} */ queued) => {
      begun = true;
      clearTimeout(timer);
      return work(queued);
    };
    const { locks } = navigator;
    try {
      await locks.request(NAME, { ifAvailable: true }, (lock) => (lock ? turn(false) : undefined));
      if (!begun) await locks.request(NAME, { signal: patience.signal }, () => turn(true));
    } catch (error) {
      if (begun) throw error;
      // A frozen tab can hold the lock for ever: from now on this page goes without.
      this.#useLock = false;
      return work(false);
    } finally {
      clearTimeout(timer);
    }
  }
}
