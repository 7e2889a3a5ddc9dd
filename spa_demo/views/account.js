// @ts-check
import { part, say } from "../dom.js";
import { since } from "../times.js";
import { refusal } from "../words.js";
import { forget, onSubmit, showStrength } from "./forms.js";

export const title = "Account";
export const template = "view-account";

/** @typedef {import("./shell.js").App} App */

/** @type {import("./shell.js").View["mount"]} */
export function mount(page, app, signal) {
  const { account } = app.session;
  if (!account) return;
  const profile = /** @type {HTMLFormElement} */ (part(page, "profile"));
  const password = /** @type {HTMLFormElement} */ (part(page, "password"));
  say(page, { email: account.email, since: `You made it ${since(account.created_at).replace(/^(\d)/, "on $1")}.` });
  part(page, "verified").hidden = !account.email_verified;
  part(page, "unverified").hidden = account.email_verified;
  /** @type {HTMLInputElement} */ (part(page, "username")).value = account.email;
  /** @type {HTMLInputElement} */ (profile.elements.namedItem("name")).value = account.name ?? "";

  const secret = /** @type {HTMLInputElement} */ (password.elements.namedItem("new_password"));
  void showStrength(secret, part(page, "strength"), () => [account.email]);
  onSubmit(profile, (values) => saveName(app, values.name.trim()), signal);
  const address = /** @type {HTMLFormElement} */ (part(page, "address"));
  onSubmit(address, (values) => changeAddress(app, address, values.email.trim()), signal);
  part(page, "again").addEventListener("click", () => void sendAgain(app), { signal });
  onSubmit(password, (values) => changePassword(app, password, values), signal);
  part(page, "leave").addEventListener("click", () => void app.session.logout(), { signal });
  part(page, "everywhere").addEventListener("click", () => void leaveEverywhere(app), { signal });
  part(page, "close").addEventListener("click", () => void closeAccount(app), { signal });
}

/** @param {App} app @param {string} name */
async function saveName(app, name) {
  app.session.update(await app.api.call("PATCH", "/v1/me", { name: name || null }));
  app.toast("Saved.");
}

/** @param {App} app @param {HTMLFormElement} form @param {Record<string, string>} values */
async function changePassword(app, form, { current_password, new_password }) {
  await app.api.call("POST", "/v1/me/password", { current_password, new_password });
  forget(form);
  app.toast("Your password is changed. Every other device has been signed out.");
}

/** @param {App} app */
async function sendAgain(app) {
  try {
    await app.api.call("POST", "/v1/me/email-verification");
    app.toast("A link is on its way to your address.");
  } catch (error) {
    app.toast(refusal(error));
  }
}

/** @param {App} app @param {HTMLFormElement} form @param {string} email */
async function changeAddress(app, form, email) {
  const done = await app.ask({
    title: "Change your address?",
    text: `We send a link to ${email}.`,
    yes: "Send the link",
    work: () => app.api.call("POST", "/v1/me/email", { email }),
  });
  if (!done) return;
  form.reset();
  app.toast("A link is on its way to the new address. Open it within an hour.");
}

/** @param {App} app */
async function leaveEverywhere(app) {
  await app.ask({
    title: "Sign out everywhere?",
    text: "Every device has to sign in again, this one too.",
    yes: "Sign out everywhere",
    work: async () => {
      await app.api.call("POST", "/v1/devices/logout-all");
      await app.session.logout();
    },
  });
}

/** @param {App} app */
async function closeAccount(app) {
  await app.ask({
    title: "Close your account?",
    text: "Your account, its devices and its sessions are deleted at once. This can't be undone.",
    yes: "Close my account",
    work: async () => {
      await app.api.call("DELETE", "/v1/me");
      await app.session.logout("account_closed");
    },
  });
}
