// The one thing on the pages that needs a script: the browser asks for a passkey, the form carries what came of it.
const form = /** @type {HTMLFormElement} */ (document.querySelector("form[data-passkey]"));
const note = /** @type {HTMLElement} */ (document.querySelector("[data-needs-script]"));
const button = /** @type {HTMLButtonElement} */ (form.querySelector("[type=submit]"));
const error = /** @type {HTMLElement} */ (form.querySelector("[data-part=error]"));

if (globalThis.PublicKeyCredential?.parseCreationOptionsFromJSON) {
  note.hidden = true;
  button.hidden = false;
} else note.textContent = "This browser knows no passkeys. Choose another way, or another browser.";

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void ask();
});

async function ask() {
  error.textContent = "";
  const options = JSON.parse(form.dataset.options ?? "");
  try {
    const made =
      form.dataset.passkey === "create"
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
    form.credential.value = JSON.stringify(made);
    form.submit();
  } catch {
    error.textContent = "No passkey came of that. Try again, or choose another way.";
  }
}
