// @ts-check
import { clone, part } from "../dom.js";
import { onSubmit } from "./forms.js";

/**
 * Rename in place: the name becomes an input, Enter saves, Escape leaves it as it was.
 * @param {HTMLElement} ticket @param {import("./shell.js").App} app @param {() => Promise<void>} renamed @param {string} path
 */
export function openRename(ticket, app, renamed, path = `/v1/devices/${ticket.dataset.id}`) {
  const shown = /** @type {HTMLElement} */ (ticket.querySelector(".ticket-name"));
  if (shown.hidden) return;
  const form = /** @type {HTMLFormElement} */ (clone("rename"));
  const input = /** @type {HTMLInputElement} */ (form.elements.namedItem("name"));
  const opener = /** @type {HTMLElement | null} */ (document.activeElement);
  const closed = new AbortController();
  const close = () => {
    closed.abort();
    form.remove();
    shown.hidden = false;
    opener?.focus();
  };
  input.value = part(ticket, "name").textContent ?? "";
  onSubmit(
    form,
    async ({ name }) => {
      const saved = await app.api.call("PATCH", path, { name: name.trim() });
      part(ticket, "name").textContent = saved.name;
      close();
      await renamed();
    },
    closed.signal,
  );
  part(form, "cancel").addEventListener("click", close);
  form.addEventListener("keydown", (event) => event.key === "Escape" && close());
  shown.hidden = true;
  shown.after(form);
  input.select();
}
