// @ts-check
/**
 * The other tabs of this browser: a channel to tell them things, and a turn-taking lock. Both are a courtesy that saves
 * requests. The server is right without them, so a missing, broken or orphaned lock costs at most five seconds, once.
 */
const NAME = "coatcheck";
const PATIENCE = 5_000;

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

  /**
   * Run `work` while no other tab runs its own.
   * @template T @param {() => Promise<T>} work @returns {Promise<T>}
   */
  async alone(work) {
    if (!this.#useLock) return work();
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), PATIENCE);
    let begun = false;
    try {
      return await navigator.locks.request(NAME, { signal: patience.signal }, () => {
        begun = true;
        clearTimeout(timer);
        return work();
      });
    } catch (error) {
      if (begun) throw error;
      // A frozen tab can hold the lock for ever: from now on this page goes without.
      this.#useLock = false;
      return work();
    } finally {
      clearTimeout(timer);
    }
  }
}
