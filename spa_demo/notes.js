// @ts-check
/**
 * What survives a reload. Never a credential: only whether this browser believes to be signed in, whether it still owes
 * the server a sign-out, and the address to fill in again. Storage may be blocked; then the notes are simply empty.
 */
const STANDING = "coatcheck.standing";
const ADDRESS = "coatcheck.address";

/** @returns {"in" | "leaving" | null} */
export function standing() {
  const value = attempt(() => localStorage.getItem(STANDING));
  return value === "in" || value === "leaving" ? value : null;
}

export function address() {
  return attempt(() => sessionStorage.getItem(ADDRESS)) ?? "";
}

/** @param {string} email */
export function signedIn(email) {
  attempt(() => localStorage.setItem(STANDING, "in"));
  attempt(() => sessionStorage.setItem(ADDRESS, email));
}

/** The person signed out and the server may not know yet. */
export function leaving() {
  attempt(() => localStorage.setItem(STANDING, "leaving"));
}

/** Nothing to come back to, but perhaps an address to fill in. A sign-out still owed stays owed. @param {string} email */
export function signedOut(email) {
  if (standing() === "in") attempt(() => localStorage.removeItem(STANDING));
  attempt(() => (email ? sessionStorage.setItem(ADDRESS, email) : sessionStorage.removeItem(ADDRESS)));
}

/** The server has heard the sign-out. */
export function wentOut() {
  if (standing() === "leaving") attempt(() => localStorage.removeItem(STANDING));
}

/** @template T @param {() => T} work @returns {T | null} */
function attempt(work) {
  try {
    return work();
  } catch {
    return null;
  }
}
