// Numbers, times and the protocol's words, as people read them.

import { el } from "./dom.js";
import { escaped, isSeen } from "./unseen.js";

export const number = (value) => Number(value).toLocaleString("en");
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${Number(count) === 1 ? one : many}`;

const UNITS = [
  ["d", 86400000],
  ["h", 3600000],
  ["min", 60000],
  ["s", 1000],
];

// "340 ms", "8 s", "12 min", "3 h 5 min"
export function duration(ms) {
  if (!(ms > 0)) return "0 s";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10000) return `${(Math.floor(ms / 100) / 10).toString()} s`;
  const at = UNITS.findIndex(([, size]) => ms >= size);
  const [unit, size] = UNITS[at];
  const whole = Math.floor(ms / size);
  const next = UNITS[at + 1];
  const rest = next && (at < 2 || whole < 10) ? Math.floor((ms - whole * size) / next[1]) : 0;
  return `${whole} ${unit}${rest ? ` ${rest} ${next[0]}` : ""}`;
}

export const age = (unixMs) => duration(Date.now() - Number(unixMs));

export function clock(unixMs, { millis = false } = {}) {
  const at = new Date(Number(unixMs));
  const two = (value) => String(value).padStart(2, "0");
  const day =
    at.toDateString() === new Date().toDateString()
      ? ""
      : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} `;
  return `${day}${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}${millis ? `.${String(at.getMilliseconds()).padStart(3, "0")}` : ""}`;
}

export const time = (unixMs, options) =>
  el(
    "time",
    { datetime: new Date(Number(unixMs)).toISOString(), title: new Date(Number(unixMs)).toString() },
    clock(unixMs, options),
  );

const OPERATIONS = {
  PREPARE: "prepare",
  COMMIT: "commit",
  ROLLBACK: "roll back",
  TRY: "try",
  CONFIRM: "confirm",
  CANCEL: "cancel",
  ACTION: "action",
  COMPENSATE: "compensate",
};
export const operationWord = (operation) => OPERATIONS[operation] || operation.toLowerCase();

// Which of the three phases an operation belongs to.
export function phaseOf(operation) {
  if (["COMMIT", "CONFIRM"].includes(operation)) return "finish";
  return ["ROLLBACK", "CANCEL", "COMPENSATE"].includes(operation) ? "undo" : "forward";
}

const PROTOCOLS = { TWO_PHASE_COMMIT: "2PC", TWO_PHASE: "2PC", TCC: "TCC", SAGA: "Saga" };
export const protocolWord = (protocol) => PROTOCOLS[protocol] || protocol;

// {word, tone} of a transaction's state: the tone is a colour's name, and never says more than the word.
export function stateOf(transaction) {
  if (transaction.state === "FINISHED") {
    const tones = { COMMITTED: "good", ABORTED: "plain", MIXED: "bad", HAZARD: "bad" };
    return { word: transaction.outcome.toLowerCase(), tone: tones[transaction.outcome] || "plain" };
  }
  if (transaction.held) return { word: "held for a person", short: "held", tone: "bad" };
  if (transaction.needsOperator)
    return { word: `${transaction.state.toLowerCase()}, needs a person`, short: "needs a person", tone: "bad" };
  if (transaction.suspended) return { word: "suspended", tone: "held" };
  const tones = { ACTIVE: "busy", COMMITTING: "good", ABORTING: "undo" };
  return { word: transaction.state.toLowerCase(), tone: tones[transaction.state] || "busy" };
}

export const badge = ({ word, short, tone }, narrow = false) =>
  el("span", { class: `badge ${tone}` }, (narrow && short) || word);

// Of "not decided: branch 2 payment/charge: ACTION, 1 attempt, last: cannot connect…" what a short
// line needs, the cause first: "payment/charge: cannot connect…".
export const causeFirst = (why) =>
  why
    .replace(/^(not decided|decided commit|decided abort, undoing|decided abort)[^:]{0,20}: /, "")
    .replace(/^branch \S+ (\S+): [A-Z]+, [\d,]+ attempts?, last: /, "$1: ");

// All that were made, also those that are not kept, or have no room.
export const attemptsOf = (branch) => branch.attempts.length + branch.droppedAttempts + branch.attemptsLeftOut;

export const servicesOf = (transaction) => [...new Set(transaction.branches.map((branch) => branch.spec.service))];

// A word of a shell, quoted if it has to be. What nobody sees is no part of what is copied: bash and
// zsh read its number.
export function quoted(word) {
  if (/^[A-Za-z0-9._:/=@%+,-]+$/.test(word)) return word;
  return isSeen(word) ? `'${word.replaceAll("'", "'\\''")}'` : `$'${escaped(word)}'`;
}
