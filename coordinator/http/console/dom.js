// Elements are made of texts, and no text is made an element: what participants and labels contain
// is shown as it is, and what of it nobody would see, by its number.

import { shown } from "./unseen.js";

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = [
  "onclick",
  "onchange",
  "oninput",
  "onkeydown",
  "onsubmit",
  "onpointermove",
  "onpointerleave",
  "ontoggle",
];

function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on") || name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : shown(value));
  }
  for (const one of children.flat(Infinity)) {
    if (one === null || one === undefined || one === false) continue;
    node.append(one instanceof Node ? one : shown(one));
  }
  return node;
}

export const el = (name, attributes = {}, ...children) => make(document.createElement(name), attributes, children);
export const svg = (name, attributes = {}, ...children) =>
  make(document.createElementNS(SVG, name), attributes, children);

// Shows these children in place of those that are there. What stays the same stays: focus, scrolling
// and selection outlive it, and children with a `data-key` are known by it. What is inside a
// `data-island` is its own business.
export function show(container, ...children) {
  const fresh = container.cloneNode(false);
  make(fresh, {}, children);
  showChildren(container, fresh);
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

function showChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const known = keyOf(next) ? keyed.get(keyOf(next)) : at && !keyOf(at) ? at : null;
    if (!known || known.nodeName !== next.nodeName) {
      old.insertBefore(next, at);
      continue;
    }
    if (known === at) at = at.nextSibling;
    else old.insertBefore(known, at);
    keyed.delete(keyOf(next));
    become(known, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function become(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const name of HANDLERS) if (old[name] !== fresh[name]) old[name] = fresh[name];
  for (const { name } of [...old.attributes]) {
    const persons = name === "open" && old.nodeName === "DETAILS";
    if (!fresh.hasAttribute(name) && !persons) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if ("value" in fresh && document.activeElement !== old && old.value !== fresh.value) old.value = fresh.value;
  if ("checked" in fresh && old.checked !== fresh.checked) old.checked = fresh.checked;
  if (!old.hasAttribute("data-island")) showChildren(old, fresh);
}

// A command to copy, as it is typed.
export const command = (text) => el("div", { class: "command" }, el("code", {}, text), copyButton(text));

export function copyButton(text, name = text) {
  const copy = el("button", { type: "button", class: "quiet", "aria-label": `Copy: ${name}` }, "Copy");
  copy.onclick = async () => {
    await copyText(text);
    copy.textContent = "Copied";
    copy.onpointerleave = () => (copy.textContent = "Copy");
  };
  return copy;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page that came over plain HTTP from another machine has no clipboard but this one.
    const area = el("textarea", { value: text, class: "away" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
