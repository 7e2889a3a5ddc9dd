// @ts-check
/**
 * How hard a new password is to guess, in calm words while it is typed. An estimate for the person; the server decides.
 * The phone app says the same (mobile_demo/strength.py): tests/strength.json holds both to it.
 */

const ROWS = ["abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"];
const COMMON = ["password", "passwort", "letmein", "welcome", "iloveyou", "monkey123", "coatcheck", "qwerty"];
const EASY = "Easy to guess: much of it repeats, counts up, or is your address.";

/**
 * @param {string} password
 * @param {number} least characters that the server wants
 * @param {string[]} known what others know of the person: the address
 * @returns {{ level: 0 | 1 | 2 | 3, words: string }} 0: too short yet, 3: hard to guess
 */
export function strength(password, least, known = []) {
  const characters = [...password.normalize("NFC")];
  const missing = least - characters.length;
  if (!password || missing > 0) return { level: 0, words: password ? `${missing === 1 ? "One character" : `${missing} characters`} to go.` : "" };
  const rest = essence(characters.join("").toLowerCase(), known);
  const words = new Set(rest.match(/\p{L}{3,}/gu) ?? []).size;
  const left = [...rest].length;
  if (left < 11) return { level: 1, words: characters.length < 12 ? "Easy to guess: it is short." : EASY };
  if (words >= 3 || left >= 18) return { level: 3, words: "Hard to guess." };
  return { level: 2, words: "Good. One or two words more make it hard to guess." };
}

/** What is left without known words, runs of a row of keys, and repetitions. @param {string} text @param {string[]} known */
function essence(text, known) {
  for (const word of [...known.flatMap(parts), ...COMMON]) text = text.replaceAll(word, "");
  for (const row of ROWS) text = withoutRuns(text, row);
  return text.replace(/(.+?)\1+/gu, "$1");
}

/** `ada.lovelace@example.org` -> the whole, and its parts of three letters and more. @param {string} address */
function parts(address) {
  const small = address.toLowerCase();
  return [small, ...small.split(/[^\p{L}\p{N}]+/u).filter((part) => part.length > 2)].filter(Boolean);
}

/** @param {string} text @param {string} row */
function withoutRuns(text, row) {
  for (const line of [row, [...row].reverse().join("")])
    for (let size = line.length; size > 3; size -= 1)
      for (let at = 0; at + size <= line.length; at += 1) text = text.replaceAll(line.slice(at, at + size), "");
  return text;
}

/**
 * Show it under a field, on a page that has `<p data-strength>` there: a bar that fills, and the words.
 * @param {HTMLInputElement} input @param {HTMLElement} place @param {() => string[]} known
 */
export function watch(input, place, known = () => []) {
  const least = Number(place.dataset.strength) || 15;
  let timer = 0;
  const show = () => {
    const { level, words } = strength(input.value, least, known());
    place.dataset.level = input.value ? String(level) : "";
    place.textContent = words;
  };
  input.addEventListener("input", () => {
    // A screen reader hears where it stands when the typing pauses, not at every letter.
    clearTimeout(timer);
    timer = setTimeout(show, 250);
  });
  show();
}
