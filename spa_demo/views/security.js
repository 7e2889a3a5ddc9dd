// @ts-check
/** The second step: passkeys, the authenticator app, recovery codes. Each change asks first, and for a fresh proof if need be. */
import { clone, part, say, when } from "../dom.js";
import { canUsePasskeys, create, NotGiven } from "../passkeys.js";
import { ago } from "../times.js";
import { count } from "../words.js";
import { onSubmit } from "./forms.js";
import { qr } from "./qr.js";
import { openRename } from "./rename.js";

export const title = "Security";
export const template = "view-security";

/** @typedef {import("./shell.js").App} App @typedef {import("../types.js").Factor} Factor @typedef {import("../types.js").Factors} Factors */

const OTHERS = "Every other device will be signed out.";

/** @type {import("./shell.js").View["mount"]} */
export async function mount(page, app, signal) {
  const refresh = async () => show(page, app, await app.api.get("/v1/me/factors"), refresh, signal);
  part(page, "add-passkey").hidden = !canUsePasskeys();
  part(page, "add-passkey").addEventListener("click", () => void addPasskey(page, app, refresh), { signal });
  part(page, "add-app").addEventListener("click", () => void addApp(page, app, refresh, signal), { signal });
  part(page, "new-codes").addEventListener("click", () => void newCodes(page, app, refresh), { signal });
  part(page, "copy").addEventListener("click", () => void copy(page, app), { signal });
  part(page, "print").addEventListener("click", () => print(), { signal });
  part(page, "kept").addEventListener("click", () => showCodes(page, []), { signal });
  await refresh();
}

/** @param {HTMLElement} page @param {App} app @param {Factors} held @param {() => Promise<void>} refresh @param {AbortSignal} signal */
function show(page, app, held, refresh, signal) {
  if (signal.aborted) return;
  const { factors, recovery_codes_left: left } = held;
  say(page, {
    lead: factors.length
      ? "Signing in takes your password and one of these. A passkey is enough by itself."
      : "Your password alone signs you in. Add a passkey or an authenticator app, and a stolen password opens nothing.",
    left: factors.length ? `${count(left, "code", "codes")} left.` : "You get ten of them with your first passkey or app.",
  });
  part(page, "new-codes").hidden = !factors.length;
  part(page, "none").hidden = factors.length > 0;
  part(page, "factors").replaceChildren(...factors.map((factor) => item(factor, app, factors.length === 1, refresh)));
}

/** @param {Factor} factor @param {App} app @param {boolean} last @param {() => Promise<void>} refresh */
function item(factor, app, last, refresh) {
  const line = clone("factor");
  const { id, name, method, synced, last_used_at } = factor;
  const kind = method === "totp" ? "Authenticator app" : synced ? "Passkey, kept in step across devices" : "Passkey on one device";
  say(line, { name, kind });
  if (last_used_at) when(part(line, "used"), last_used_at, `Used ${ago(last_used_at)}`);
  else say(line, { used: "Not used yet" });
  const [rename, remove] = [part(line, "rename"), part(line, "remove")];
  rename.setAttribute("aria-label", `Rename ${name}`);
  remove.setAttribute("aria-label", `Remove ${name}`);
  rename.addEventListener("click", () => openRename(line, app, refresh, `/v1/me/factors/${id}`));
  remove.addEventListener("click", async () => {
    const text = last ? `Your password alone will sign you in then, and your recovery codes end. ${OTHERS}` : OTHERS;
    const work = () => app.api.call("DELETE", `/v1/me/factors/${id}`);
    if (await app.ask({ title: `Remove ${name}?`, text, yes: "Remove", work })) await refresh();
  });
  return line;
}

/** @param {HTMLElement} page @param {App} app @param {() => Promise<void>} refresh */
async function addPasskey(page, app, refresh) {
  /** @type {import("../types.js").Added | null} */
  let added = null;
  const work = async () => {
    const { challenge_token, public_key } = await app.api.call("POST", "/v1/me/passkeys/options");
    const credential = await create(public_key).catch((error) => {
      if (error instanceof NotGiven) return null;
      throw error;
    });
    if (credential) added = await app.api.call("POST", "/v1/me/passkeys", { challenge_token, credential });
  };
  await app.ask({ title: "Add a passkey?", text: `Your browser asks where to keep it. ${OTHERS}`, yes: "Add a passkey", work });
  if (added) await done(page, app, added, refresh);
}

/** @param {HTMLElement} page @param {App} app @param {() => Promise<void>} refresh @param {AbortSignal} signal */
async function addApp(page, app, refresh, signal) {
  /** @type {import("../types.js").Seed | null} */
  let seed = null;
  const work = async () => (seed = await app.api.call("POST", "/v1/me/factors/totp"));
  const text = `You scan a picture with the app, then enter the code it shows. ${OTHERS}`;
  await app.ask({ title: "Add an authenticator app?", text, yes: "Show the picture", work });
  if (!seed) return;
  const { challenge_token, secret, qr_svg } = /** @type {import("../types.js").Seed} */ (seed);
  const panel = clone("new-app");
  part(panel, "qr").replaceChildren(qr(qr_svg));
  say(panel, { secret: secret.replaceAll(/(.{4})(?=.)/g, "$1 ") });
  part(panel, "cancel").addEventListener("click", () => panel.remove(), { signal });
  const confirm = async (/** @type {Record<string, string>} */ { code }) => {
    const added = await app.api.call("POST", "/v1/me/factors/totp/confirm", { challenge_token, code });
    panel.remove();
    await done(page, app, added, refresh);
  };
  onSubmit(/** @type {HTMLFormElement} */ (part(panel, "form")), confirm, signal);
  part(page, "place").replaceChildren(panel);
  panel.querySelector("input")?.focus();
}

/** @param {HTMLElement} page @param {App} app @param {import("../types.js").Added} added @param {() => Promise<void>} refresh */
async function done(page, app, { factor, recovery_codes }, refresh) {
  app.toast(`${factor.name} is added.`);
  await refresh();
  if (recovery_codes.length) showCodes(page, recovery_codes);
}

/** @param {HTMLElement} page @param {App} app @param {() => Promise<void>} refresh */
async function newCodes(page, app, refresh) {
  /** @type {string[]} */
  let codes = [];
  const work = async () => ({ recovery_codes: codes } = await app.api.call("POST", "/v1/me/recovery-codes"));
  const text = `The codes you have now stop working. ${OTHERS}`;
  if (!(await app.ask({ title: "Make new recovery codes?", text, yes: "Make new codes", work }))) return;
  await refresh();
  showCodes(page, codes);
}

/** They are on the page until the person has put them away, and nowhere else. @param {HTMLElement} page @param {string[]} codes */
function showCodes(page, codes) {
  const box = part(page, "codes");
  part(box, "list").replaceChildren(
    ...codes.map((code) => {
      const line = document.createElement("li");
      line.textContent = code;
      return line;
    }),
  );
  box.hidden = codes.length === 0;
  if (codes.length) part(box, "heading").focus();
}

/** @param {HTMLElement} page @param {App} app */
async function copy(page, app) {
  const codes = [...part(page, "list").children].map((line) => line.textContent).join("\n");
  await navigator.clipboard.writeText(codes).then(
    () => app.toast("Copied."),
    () => app.toast("Your browser didn't let us copy. Select the codes and copy them yourself.", "warn"),
  );
}
