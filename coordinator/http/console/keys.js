// The keyboard. A key does nothing while somebody types, or a dialog is open.

import { here, link } from "./address.js";
import { el } from "./dom.js";

const KEYS = [
  ["j  k", "next, previous"],
  ["Enter", "open"],
  ["Home  End", "first, last of a list"],
  ["/", "find a gid"],
  ["1  2  3", "attention, participants, overview"],
  ["r", "retry this transaction"],
  ["Esc", "close, or back"],
  ["?", "these keys"],
];

export function showKeys() {
  if (document.querySelector("dialog[open]")) return;
  const dialog = el(
    "dialog",
    { class: "keys", "aria-labelledby": "keys-title" },
    el("h2", { id: "keys-title" }, "Keys"),
    el(
      "dl",
      {},
      KEYS.map(([key, meaning]) => [
        el(
          "dt",
          {},
          key.split("  ").map((one) => el("kbd", {}, one)),
        ),
        el("dd", {}, meaning),
      ]),
    ),
    el("form", { method: "dialog", class: "buttons" }, el("button", { class: "main" }, "Close")),
  );
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
}

export function takeKeys(app) {
  const deeds = {
    j: () => app.page.move?.(1),
    k: () => app.page.move?.(-1),
    End: () => app.page.toEnd?.(),
    Home: () => app.page.toStart?.(),
    "/": () => app.search.focus(),
    "?": showKeys,
    1: () => (location.hash = link("attention")),
    2: () => (location.hash = link("participants")),
    3: () => (location.hash = link("overview")),
    r: () => document.querySelector("main [data-key=retry]")?.click(),
    Escape: () => app.page.escape?.() || (here().page === "transactions" && history.back()),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (!deeds[event.key]) return;
    event.preventDefault();
    deeds[event.key]();
  });
}
