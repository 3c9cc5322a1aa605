/** What the keyboard does. */
import { button, byId, el } from "./dom.ts";

/** Calls `actions[key]` for keys pressed outside of fields; `?` explains them. */
export function listenToKeys(
  actions: Readonly<Record<string, readonly [string, () => void]>>,
): void {
  const dialog = byId("keys") as HTMLDialogElement;
  const rows = Object.entries(actions).map(([key, [text]]) =>
    el("tr", {}, el("th", {}, el("kbd", {}, key === "Escape" ? "Esc" : key)), el("td", {}, text))
  );
  dialog.append(
    el("h2", {}, "Keys"),
    el("table", {}, el("tbody", {}, ...rows)),
    button("Close", () => dialog.close(), { class: "small" }),
  );
  byId("help").addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    const target = event.target as HTMLElement;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (event.key === "?") dialog.showModal();
    else if (Object.hasOwn(actions, event.key)) actions[event.key]![1]();
    else return;
    event.preventDefault();
  });
}
