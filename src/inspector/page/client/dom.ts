/**
 * Elements from code. Strings only ever become text nodes and attribute
 * values: what comes from a cluster is never read as markup.
 */

type Child = Node | string | undefined | false;

interface Properties {
  readonly class?: string;
  readonly title?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly on?: Readonly<Record<string, (event: Event) => void>>;
}

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties | string = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  const given = typeof properties === "string" ? { class: properties } : properties;
  if (given.class !== undefined) element.className = given.class;
  if (given.title !== undefined) element.title = given.title;
  for (const [name, value] of Object.entries(given.attributes ?? {})) {
    element.setAttribute(name, value);
  }
  for (const [name, listener] of Object.entries(given.on ?? {})) {
    element.addEventListener(name, listener);
  }
  for (const child of children) if (child !== undefined && child !== false) element.append(child);
  return element;
}

/** A button with a text and what it does. */
export function button(text: string, act: () => void, properties: Properties = {}) {
  return el(
    "button",
    {
      ...properties,
      attributes: { type: "button", ...properties.attributes },
      on: { click: act },
    },
    text,
  );
}

/** An element of index.html. */
export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`There is no element "${id}"`);
  return found;
}

/** Text that copies itself when clicked. */
export function copyable(text: string, className = "copyable"): HTMLButtonElement {
  return button(text, () => void copy(text), { class: className, title: "Click to copy" });
}

export async function copy(text: string, said = "Copied"): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast(said);
  } catch {
    toast("The browser does not let this page copy");
  }
}

let toastTimer: ReturnType<typeof setTimeout> | undefined;

/** Says something for a moment. */
export function toast(text: string): void {
  const element = byId("toast");
  element.textContent = text;
  element.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => element.classList.remove("shown"), 2500);
}
