// What a script adds to pages that work without one: times in the person's own time zone, a mailed link's token in its form.
const DAY = 86_400_000;
const midnight = (/** @type {Date} */ at) => Date.UTC(at.getFullYear(), at.getMonth(), at.getDate());
const clock = (/** @type {Date} */ at) => at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

/** The same words with own days and hours: "today, 09:12 UTC" -> "yesterday, 23:12". */
function own(/** @type {string} */ words, /** @type {Date} */ at) {
  const days = (midnight(new Date()) - midnight(at)) / DAY;
  const name = { "-1": "tomorrow", 0: "today", 1: "yesterday" }[days] ?? at.toLocaleDateString("en-GB", { weekday: "long" });
  return words.replace(/\w+,? \d\d:\d\d UTC$/, `${name}${name in { today: 1, yesterday: 1, tomorrow: 1 } ? "," : ""} ${clock(at)}`);
}

for (const time of document.querySelectorAll("time")) {
  const at = new Date(time.dateTime);
  time.textContent = own(time.textContent ?? "", at);
  time.title = at.toLocaleString("en-GB", { dateStyle: "full", timeStyle: "medium" });
}

/** The token of a mailed link stands in the fragment: into the form with it, and out of the address and the history. */
function take() {
  const code = document.querySelector("input[data-mailed]");
  if (!(code instanceof HTMLInputElement)) return;
  if (location.hash.length > 1) {
    code.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
  }
  if (code.value) code.closest(".field")?.setAttribute("hidden", "");
}

/** How hard a new password is to guess, while it is typed. */
async function judge() {
  const place = document.querySelector("[data-strength]");
  const input = place?.closest(".field")?.querySelector("input");
  if (!(place instanceof HTMLElement) || !input) return;
  const { watch } = await import(place.dataset.script ?? "");
  const whose = document.querySelector('input[autocomplete="username"]');
  watch(input, place, () => (whose instanceof HTMLInputElement ? [whose.value] : []));
}

void judge();
take();
addEventListener("hashchange", take);
