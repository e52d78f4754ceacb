// Which transactions: the fields of a form, of the address, of a request and of a command.

import { el } from "./dom.js";
import { quoted } from "./format.js";

const STATES = [
  ["", "unfinished"],
  ["active", "active"],
  ["committing", "committing"],
  ["aborting", "aborting"],
  ["finished", "finished"],
  ["committed", "committed"],
  ["aborted", "aborted"],
  ["mixed", "mixed"],
  ["hazard", "hazard"],
  ["all", "all"],
];
const OUTCOMES = ["committed", "aborted", "mixed", "hazard"];
const PROTOCOLS = [
  ["", "any protocol"],
  ["TWO_PHASE", "two-phase commit"],
  ["TCC", "TCC"],
  ["SAGA", "Saga"],
];
const AGES = [
  ["", "any age"],
  ["10000", "10 s and older"],
  ["60000", "1 min and older"],
  ["600000", "10 min and older"],
  ["3600000", "1 h and older"],
  ["86400000", "1 d and older"],
];
export const NAMES = ["state", "protocol", "service", "label", "age", "prefix", "person", "cause", "view"];

export const isFinished = (query) => ["finished", "all", ...OUTCOMES].includes(query.get("state") || "");

// Pairs, as /v1/transactions and /v1/causes take them.
export function asked(query) {
  const pairs = [];
  const state = query.get("state") || "";
  if (state === "all") pairs.push(["all", "true"]);
  else if (OUTCOMES.includes(state)) pairs.push(["outcome", state.toUpperCase()], ["states", "FINISHED"]);
  else if (state) pairs.push(["states", state.toUpperCase()]);
  const put = (name, field) => query.get(name) && pairs.push([field, query.get(name)]);
  put("protocol", "protocol");
  put("service", "service");
  put("age", "min_age_ms");
  put("prefix", "gid_prefix");
  put("cause", "cause");
  if (query.get("person")) pairs.push(["needs_operator", "true"]);
  for (const label of query.getAll("label")) {
    const at = label.indexOf("=");
    if (at > 0) pairs.push([`labels[${label.slice(0, at)}]`, label.slice(at + 1)]);
  }
  return pairs;
}

// As flags of assentctl.
export function flags(query) {
  const words = [];
  const state = query.get("state") || "";
  if (state === "all") words.push("--all");
  else if (OUTCOMES.includes(state)) words.push("--outcome", state);
  else if (state) words.push("--state", state);
  const put = (name, flag, of = (value) => value) => query.get(name) && words.push(flag, quoted(of(query.get(name))));
  put("protocol", "--protocol", (value) => value.toLowerCase().replace("_", "-"));
  put("service", "--service");
  for (const label of query.getAll("label")) words.push("--label", quoted(label));
  put("prefix", "--prefix");
  put("age", "--min-age", (value) => `${Number(value) / 1000}s`);
  put("cause", "--cause");
  if (query.get("person")) words.push("--needs-operator");
  return words.join(" ");
}

// On a small screen the form is shown when it is asked for.
let shown = false;

// `change` gets a new query. Whoever filters anew looks at causes again, not at one of before.
export function filterForm(query, services, change) {
  const set = (name, value) => {
    const changed = new URLSearchParams(query);
    changed.delete("cause");
    changed.delete(name);
    if (value) changed.set(name, value);
    change(changed);
  };
  const select = (name, label, options) =>
    el(
      "label",
      {},
      el("span", {}, label),
      el(
        "select",
        { name, onchange: (event) => set(name, event.target.value) },
        options.map(([value, word]) => el("option", { value, selected: (query.get(name) || "") === value }, word)),
      ),
    );
  const input = (name, label, more) =>
    el(
      "label",
      {},
      el("span", {}, label),
      el("input", {
        name,
        type: "text",
        value: query.get(name) || "",
        autocomplete: "off",
        spellcheck: "false",
        onchange: (event) => set(name, event.target.value.trim()),
        ...more,
      }),
    );
  const count = NAMES.filter((name) => !["view", "cause"].includes(name) && query.get(name)).length;
  const toggle = el(
    "button",
    {
      type: "button",
      class: "filter-button",
      "aria-expanded": String(shown),
      onclick: () => {
        shown = !shown;
        change(query);
      },
    },
    count ? `Filters (${count})` : "Filters",
  );
  return [
    toggle,
    el(
      "form",
      {
        class: `filters${shown ? " shown" : ""}`,
        role: "search",
        "aria-label": "Filters",
        onsubmit: (event) => {
          event.preventDefault();
          document.activeElement.blur();
        },
      },
      select("state", "State", STATES),
      select("protocol", "Protocol", PROTOCOLS),
      input("service", "Service", { list: "services", placeholder: "any" }),
      el(
        "datalist",
        { id: "services" },
        services.map((name) => el("option", { value: name })),
      ),
      input("label", "Label", { placeholder: "key=value" }),
      select("age", "Age", AGES),
      input("prefix", "Gid begins", { placeholder: "any" }),
      el(
        "label",
        { class: "check" },
        el("input", {
          type: "checkbox",
          name: "person",
          checked: Boolean(query.get("person")),
          onchange: (event) => set("person", event.target.checked ? "1" : ""),
        }),
        "needs a person",
      ),
      count
        ? el("button", { type: "button", class: "quiet", onclick: () => change(new URLSearchParams()) }, "Clear")
        : null,
    ),
  ];
}
