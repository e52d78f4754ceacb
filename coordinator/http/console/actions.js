// What a person may do, and the dialog that says first what it will mean, and asks who and why.

import { pathOf, post } from "./api.js";
import { el, show } from "./dom.js";
import { quoted } from "./format.js";
import { session } from "./session.js";

// What becomes of one that is held a person finds at its participants (docs/cluster.md).
export const isTwoPhase = (transaction) => transaction.branches.some((branch) => branch.spec.protocol === "TWO_PHASE");
// One that may have happened has to be resolved: it decides the whole.
export const doubtfulPivot = (transaction) =>
  transaction.held && transaction.state === "ACTIVE"
    ? transaction.branches.find(
        (branch) => branch.spec.pivot && ["WAITING", "EXECUTING"].includes(branch.state),
      )
    : undefined;

const VERBS = {
  retry: { title: "Try again now", word: "Retry", allowed: (t) => t.state !== "FINISHED" && !t.suspended },
  suspend: { title: "Send nothing more", word: "Suspend", allowed: (t) => t.state !== "FINISHED" && !t.suspended },
  resume: { title: "Let it go on", word: "Resume", allowed: (t) => t.suspended && !(t.held && isTwoPhase(t)) },
  abort: { title: "Abort", word: "Abort", grave: true, allowed: (t) => t.state === "ACTIVE" && !doubtfulPivot(t) },
  forget: { title: "Remove from the history", word: "Forget", grave: true, allowed: (t) => t.state === "FINISHED" },
};

export const verbOf = (name) => VERBS[name];
const permissionOf = (name) => (name === "forget" ? "ADMINISTER" : "OPERATE");
// What its state allows, and then whoever looks.
const possible = (transaction) => Object.keys(VERBS).filter((name) => VERBS[name].allowed(transaction));
export const mayDo = (name) => session.may(permissionOf(name));
export const allowed = (transaction) => possible(transaction).filter(mayDo);
// Why something of it is not offered, in a sentence; empty: nothing is missing.
export function whyNotAllowed(transaction) {
  const missing = possible(transaction).find((name) => !mayDo(name));
  return missing ? session.whyNot(permissionOf(missing)) : "";
}
// Of one that is held: what is said of one branch is how it was decided.
export const resolvable = (transaction, branch) =>
  session.may("OPERATE") &&
  (["FINISHING", "UNDOING"].includes(branch.state) ||
    (transaction.held && ["WAITING", "EXECUTING", "EXECUTED"].includes(branch.state)));

export function nameOfPerson(name) {
  if (name !== undefined) localStorage.setItem("who", name);
  return localStorage.getItem("who") || "";
}

// A dialog with a form of who and why. `look` says, before, what it will mean; `act` does it and answers
// with a sentence. Of several choices the one that is taken is handed to both.
export function ask({ title, intro = [], choices = [], word, grave, look, act, commandOf }, done) {
  const effect = el("p", { class: "effect", "aria-live": "polite" }, "…");
  const trouble = el("p", { class: "trouble", role: "alert" });
  const line = el("code", {});
  // Who has proven who he is need not say so; what he says all the same stands beside it.
  const known = session.identity;
  const who = el("input", {
    name: "who",
    required: true,
    maxlength: 200,
    autocomplete: "name",
    value: nameOfPerson() || known,
  });
  const reason = el("input", { name: "reason", required: true, maxlength: 500, autocomplete: "off" });
  const confirm = el("button", { type: "submit", class: grave ? "grave" : "main" }, word);
  const radios = choices.map(({ value, text }, at) =>
    el(
      "label",
      { class: "choice" },
      el("input", { type: "radio", name: "choice", value, required: true, checked: at === 0 && choices.length === 1 }),
      text,
    ),
  );
  const form = el(
    "form",
    { method: "dialog" },
    el("h2", { id: "dialog-title" }, title),
    intro,
    radios.length ? el("fieldset", {}, el("legend", {}, "What is true at the participant?"), radios) : null,
    el("div", { class: "effect-box" }, el("h3", {}, "What it will do"), effect),
    el("label", {}, "Who are you?", who),
    known ? el("p", { class: "muted" }, `On record as ${known}, and with what you say here.`) : null,
    el("label", {}, "Why?", reason),
    el("div", { class: "command" }, line),
    trouble,
    el(
      "div",
      { class: "buttons" },
      el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Cancel"),
      confirm,
    ),
  );
  const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, form);
  const chosen = () => form.elements.choice?.value || "";

  const showLine = () => show(line, commandOf(chosen(), who.value || "NAME", reason.value || "…"));
  // Nothing is done of which it has not been said what it is.
  const preview = async () => {
    const choice = chosen();
    confirm.disabled = true;
    if (choices.length && !choice) return show(effect, "Choose first.");
    try {
      const said = await look(choice, who.value || "console");
      if (choice !== chosen()) return;
      show(effect, said);
      confirm.disabled = false;
    } catch (failure) {
      show(effect, failure.message);
    }
  };
  form.oninput = (event) => {
    if (event.target.name === "choice") preview();
    showLine();
  };
  form.onsubmit = async (event) => {
    event.preventDefault();
    confirm.disabled = true;
    show(trouble);
    nameOfPerson(who.value);
    try {
      const said = await act(chosen(), { who: who.value, reason: reason.value }, (text) => show(effect, text));
      dialog.close();
      done(said);
    } catch (failure) {
      // Whether it was done is not known when nobody answered.
      show(
        trouble,
        failure.away ? `${failure.message} It may have been done, or not: look before you try again.` : failure.message,
      );
      confirm.disabled = false;
    }
  };
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
  (choices.length ? radios[0].querySelector("input") : who.value ? reason : who).focus();
  showLine();
  preview();
}

const body = (action, more = {}) => ({ action, ...more });

export function askForOne(gid, name, done) {
  const verb = VERBS[name];
  const path = `${pathOf(gid)}:${name}`;
  ask(
    {
      title: `${verb.title}: ${gid}`,
      word: `${verb.word} ${gid}`,
      grave: verb.grave,
      look: async (_, who) => (await post(path, body({ who, dryRun: true }))).effect,
      act: async (_, action) => (await post(path, body(action))).effect,
      commandOf: (_, who, reason) =>
        `assentctl ${name} ${quoted(gid)} --who ${quoted(who)} --reason ${quoted(reason)}${verb.grave ? " --yes" : ""}`,
    },
    done,
  );
}

export function askToResolve(gid, branch, held, done) {
  const { branchId, service, action } = branch.spec;
  const path = `${pathOf(gid)}/branches/${encodeURIComponent(branchId)}:resolve`;
  ask(
    {
      title: `Resolve branch ${branchId} of ${gid} by hand`,
      word: "Declare it",
      grave: true,
      intro: [
        el(
          "p",
          {},
          held
            ? `This says how the whole transaction was decided, and every branch is asked to follow, also this one. Look at ${service} first.`
            : `Nothing more is sent to ${service} for this branch. Look there first.`,
        ),
      ],
      choices: [
        { value: "DECISION_COMMIT", text: `${service}/${action} took effect and stays` },
        { value: "DECISION_ABORT", text: `${service}/${action} did not take effect, or is undone` },
      ],
      look: async (resolution, who) => (await post(path, body({ who, dryRun: true }, { resolution }))).effect,
      act: async (resolution, action_) => (await post(path, body(action_, { resolution }))).effect,
      commandOf: (resolution, who, reason) =>
        `assentctl resolve ${quoted(gid)} ${quoted(branchId)} ${resolution === "DECISION_ABORT" ? "abort" : "commit"} --who ${quoted(who)} --reason ${quoted(reason)} --yes`,
    },
    done,
  );
}
