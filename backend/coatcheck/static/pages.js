// What a script adds to pages that work without one: times in the person's own time zone.
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
