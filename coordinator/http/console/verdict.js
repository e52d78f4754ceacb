// One transaction in four answers: what is it, is it stuck, why, what next.

import { doubtfulPivot, isTwoPhase } from "./actions.js";
import { age, duration, plural, protocolWord, servicesOf } from "./format.js";

const waitsFor = (branch) => ["EXECUTING", "FINISHING", "UNDOING"].includes(branch.state);
const nameOf = (branch) => `${branch.spec.service}/${branch.spec.action}`;

export const inFlight = (branch) => branch.attempts.some((attempt) => attempt.result === "IN_FLIGHT");

export function what(transaction) {
  const protocols = [...new Set(transaction.branches.map((branch) => protocolWord(branch.spec.protocol)))].join(
    " and ",
  );
  const services = servicesOf(transaction);
  if (transaction.branches.length === 0) return "An open transaction without branches so far.";
  return `${protocols || "A transaction"} of ${plural(transaction.branches.length, "branch", "branches")} at ${services.slice(0, 4).join(", ")}${services.length > 4 ? ", …" : ""}.`;
}

// {word, tone, more}
export function stuck(transaction) {
  if (transaction.state === "FINISHED") {
    const tone = transaction.outcome === "COMMITTED" ? "good" : transaction.outcome === "ABORTED" ? "plain" : "bad";
    const took = duration(Math.max(1, transaction.finishedUnixMs - transaction.beganUnixMs));
    return {
      word: `No: ${transaction.outcome.toLowerCase()}`,
      tone,
      more: `Finished ${age(transaction.finishedUnixMs)} ago, after ${took}.`,
    };
  }
  const since = `It began ${age(transaction.beganUnixMs)} ago.`;
  if (transaction.held) return { word: "Yes: it is held for a person", tone: "bad", more: since };
  if (transaction.needsOperator) return { word: "Yes: a person has to look", tone: "bad", more: since };
  if (transaction.suspended) return { word: "Suspended by a person", tone: "held", more: since };
  if (transaction.open) return { word: "No: its initiator has it open", tone: "busy", more: since };
  const branches = transaction.branches.filter(waitsFor);
  const away = branches.find(
    (branch) => !inFlight(branch) && branch.lastError && Number(branch.nextAttemptUnixMs) === 0,
  );
  if (away) return { word: `Yes: it waits for ${away.spec.service}`, tone: "warn", more: since };
  if (branches.some((branch) => branch.attemptCount > 1))
    return { word: "Not yet: it is tried again", tone: "warn", more: since };
  return { word: "No: it is under way", tone: "good", more: since };
}

export function why(transaction) {
  if (transaction.whyNotFinished) return transaction.whyNotFinished;
  if (transaction.outcome === "COMMITTED") return "Every branch has done its part.";
  return transaction.abortReason || "It has finished.";
}

// What a person finds at the participants, and what he says then: the table of docs/cluster.md.
function nextOfHeld(transaction) {
  const pivot = doubtfulPivot(transaction);
  return [
    "Nothing, until a person says what became of it: its participants know, and who began it.",
    "If one has committed (confirmed; of a Saga, its pivot happened), or its initiator was told that it is committed: resolve that branch as taking effect. So the whole was decided, and every branch is asked to follow.",
    pivot
      ? `If nobody has committed, and nobody was told so: resolve the pivot, branch ${pivot.spec.branchId}, as undone. All is undone, also steps that the log does not know to have begun.`
      : "If one has rolled back, or nobody has committed and nobody was told so: abort it. All is undone, also what the log does not know to have begun.",
    isTwoPhase(transaction)
      ? "It cannot be resumed: the participants of undecided two-phase work were told that it is aborted."
      : "If nobody was told anything, and the participants remember what they did: resume it. Each is asked again, and answers as it did.",
  ];
}

// Sentences, the first one first.
export function next(transaction, now = Date.now()) {
  if (transaction.state === "FINISHED") {
    return transaction.outcome === "MIXED" || transaction.outcome === "HAZARD"
      ? ["Nothing by itself. Compare the branches with what the services have, and put right what differs."]
      : ["Nothing: it is over."];
  }
  const said = [];
  const undecided = Number(transaction.decidedUnixMs) === 0;
  if (transaction.held) return nextOfHeld(transaction);
  if (transaction.suspended) said.push("Nothing, until somebody resumes it.");
  if (transaction.open) said.push("Its initiator adds branches, and says commit or roll back.");
  for (const branch of transaction.branches.filter(waitsFor)) {
    if (branch.needsOperator) {
      said.push(
        `Repair ${nameOf(branch)}${transaction.suspended ? "" : " and it goes on by itself"}; or see what is true there, and resolve branch ${branch.spec.branchId} by hand.`,
      );
    }
    const due = transaction.suspended ? 0 : Number(branch.nextAttemptUnixMs);
    if (inFlight(branch)) said.push(`${nameOf(branch)} has been asked and may answer at any moment.`);
    else if (due) said.push(`${nameOf(branch)} is tried again ${due > now ? `in ${duration(due - now)}` : "now"}.`);
    else if (branch.lastError && !transaction.suspended)
      said.push(`It goes on by itself as soon as somebody of ${branch.spec.service} can be reached.`);
  }
  if (undecided && !transaction.suspended && Number(transaction.deadlineUnixMs) > now) {
    said.push(`Undecided at its deadline, in ${duration(transaction.deadlineUnixMs - now)}, it aborts.`);
  }
  return said.length ? said.slice(0, 5) : ["It goes on by itself."];
}
