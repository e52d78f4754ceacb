// One transaction: what it is, whether it is stuck, why, and what comes next; then how it came so.

import { pathOf, watch } from "./api.js";
import { allowed, askForOne, askToResolve, resolvable, verbOf, whyNotAllowed } from "./actions.js";
import { link } from "./address.js";
import { command, copyButton, el, show } from "./dom.js";
import {
  age,
  attemptsOf,
  badge,
  clock,
  duration,
  number,
  operationWord,
  plural,
  protocolWord,
  quoted,
  stateOf,
  time,
} from "./format.js";
import { lanes } from "./lanes.js";
import { traceIdOf, traceUrl } from "./trace.js";
import * as verdict from "./verdict.js";

const EVERY_MS = 1000;

export class TransactionPage {
  #gid;
  #transaction = null;
  #failure = null;
  #announced = "";

  constructor(root, { id }, app) {
    this.#gid = id;
    this.app = app;
    this.title = id;
    this.top = el("div", {});
    this.figure = el("div", { class: "figure" });
    this.rest = el("div", {});
    root.append(this.top, this.figure, this.rest);
    this.watching = watch(id, {
      onChange: (transaction) => {
        this.#transaction = transaction;
        this.#failure = null;
        this.#tell();
        this.#draw();
      },
      onFailure: (failure) => {
        this.#failure = failure;
        this.#draw();
      },
    });
    this.sized = new ResizeObserver(() => this.#drawLanes());
    this.sized.observe(this.figure);
    // Ages, and how long it still takes.
    this.timer = setInterval(() => document.hidden || this.#draw(), EVERY_MS);
    this.#draw();
  }

  close() {
    this.watching.end();
    this.sized.disconnect();
    clearInterval(this.timer);
  }

  refresh() {
    this.watching.now();
  }

  // A screen reader hears of a new state, not of each attempt.
  #tell() {
    const state = stateOf(this.#transaction).word;
    if (this.#announced && this.#announced !== state) this.app.announce(`${this.#gid} is ${state}`);
    this.#announced = state;
  }

  #draw() {
    const transaction = this.#transaction;
    if (!transaction) {
      show(
        this.top,
        this.#heading(null),
        this.#failure
          ? el(
              "div",
              { class: "empty" },
              el("h2", {}, this.#failure.http === 404 ? "There is no such transaction" : "It cannot be shown"),
              el("p", {}, this.#failure.message),
            )
          : el("p", { class: "muted" }, "Loading…"),
      );
      return;
    }
    show(this.top, this.#heading(transaction), this.#lost(), this.#answers(transaction), this.#actions(transaction));
    this.#drawLanes();
    show(
      this.rest,
      this.#attempts(transaction),
      this.#people(transaction),
      this.#facts(transaction),
      this.#commands(transaction),
    );
  }

  #lost() {
    if (!this.#failure || this.#failure.away) return null;
    return el("p", { class: "warning", role: "alert" }, `What you see is as it was: ${this.#failure.message}`);
  }

  #drawLanes() {
    if (!this.#transaction || this.#transaction.branches.length === 0) return show(this.figure);
    const width = Math.max(280, Math.floor(this.figure.clientWidth));
    show(this.figure, el("h2", {}, "What happened"), lanes(this.#transaction, width), this.#legend());
  }

  #legend() {
    const key = (kind, word) => el("li", {}, el("i", { class: `key ${kind}`, "aria-hidden": "true" }), word);
    return el(
      "ul",
      { class: "legend" },
      key("forward", "forward"),
      key("finish", "finish"),
      key("undo", "undo"),
      key("good", "done"),
      key("warn", "later, or no answer"),
      key("bad", "refused"),
      key("none", "not sent"),
      el("li", { class: "muted" }, "Long waits are drawn shorter than they were."),
    );
  }

  #heading(transaction) {
    return el(
      "header",
      { class: "heading" },
      el("a", { href: link("attention"), class: "back" }, "‹ Attention"),
      el("h1", { class: "gid" }, this.#gid),
      transaction && badge(stateOf(transaction)),
      transaction &&
        Object.entries(transaction.labels).map(([key, value]) =>
          el(
            "a",
            {
              class: "label",
              href: link("attention", "", { label: `${key}=${value}`, state: "all" }),
              title: "Others with this label",
            },
            `${key} = ${value}`,
          ),
        ),
    );
  }

  #answers(transaction) {
    const is = verdict.stuck(transaction);
    const [first, ...more] = verdict.next(transaction);
    const answer = (question, ...said) =>
      el(
        "div",
        { class: "answer" },
        el("dt", {}, question),
        said.map((one) => el("dd", {}, one)),
      );
    return el(
      "dl",
      { class: `answers ${is.tone}` },
      answer("What is it?", verdict.what(transaction)),
      answer("Is it stuck?", el("strong", {}, is.word), is.more),
      answer(
        "Why?",
        el("span", { class: "reason" }, verdict.why(transaction)),
        transaction.whyNotFinished && transaction.abortReason ? `It aborts because: ${transaction.abortReason}` : "",
      ),
      answer("What next?", first, ...more),
    );
  }

  #actions(transaction) {
    const done = (said) => this.app.tell(said);
    return el(
      "div",
      { class: "actions", role: "group", "aria-label": "Actions" },
      allowed(transaction).map((name) =>
        el(
          "button",
          {
            type: "button",
            "data-key": name,
            class: verbOf(name).grave ? "grave" : "",
            onclick: () =>
              askForOne(this.#gid, name, (said) => {
                done(said);
                if (name === "forget") location.hash = link("attention");
              }),
          },
          `${verbOf(name).word}…`,
        ),
      ),
      transaction.branches.filter((branch) => resolvable(transaction, branch)).map((branch) =>
        el(
          "button",
          {
            type: "button",
            "data-key": `resolve ${branch.spec.branchId}`,
            class: branch.needsOperator ? "main" : "",
            onclick: () => askToResolve(this.#gid, branch, transaction.held, done),
          },
          `Resolve branch ${branch.spec.branchId}…`,
        ),
      ),
      whyNotAllowed(transaction) ? el("p", { class: "muted", "data-key": "why not" }, whyNotAllowed(transaction)) : null,
    );
  }

  #attempts(transaction) {
    const row = (branch, attempt) =>
      el(
        "tr",
        {},
        el("td", {}, operationWord(attempt.operation)),
        el("td", { class: "number" }, number(attempt.number)),
        el("td", {}, time(attempt.startedUnixMs, { millis: true })),
        el(
          "td",
          { class: "number" },
          attempt.result === "IN_FLIGHT" ? "…" : duration(Number(attempt.latencyUs) / 1000),
        ),
        el("td", {}, attempt.result.toLowerCase().replaceAll("_", " ")),
        el("td", { class: "error" }, attempt.error),
      );
    const missing = (branch) => [
      branch.droppedAttempts
        ? el(
            "p",
            { class: "muted" },
            `${plural(branch.droppedAttempts, "attempt")} after the first ones ${branch.droppedAttempts === 1 ? "is" : "are"} no longer kept.`,
          )
        : null,
      branch.attemptsLeftOut
        ? el(
            "p",
            { class: "muted" },
            `${plural(branch.attemptsLeftOut, "older attempt")} ${branch.attemptsLeftOut === 1 ? "has" : "have"} no room here: `,
            el(
              "a",
              { href: `${pathOf(this.#gid)}?branch_id=${encodeURIComponent(branch.spec.branchId)}` },
              "all that are kept, as JSON",
            ),
            ".",
          )
        : null,
    ];
    const table = (branch) => [
      missing(branch),
      el(
        "div",
        { class: "wide tries" },
        el(
          "table",
          { class: "attempts" },
          el(
            "thead",
            {},
            el(
              "tr",
              {},
              ["Operation", "No.", "Sent", "Took", "Result", "Said"].map((name) =>
                el("th", { scope: "col", class: ["No.", "Took"].includes(name) ? "number" : "" }, name),
              ),
            ),
          ),
          el(
            "tbody",
            {},
            branch.attempts.map((attempt) => row(branch, attempt)),
          ),
        ),
      ),
    ];
    return el(
      "section",
      { "aria-labelledby": "attempts" },
      el("h2", { id: "attempts" }, "Attempts"),
      transaction.branches.map((branch) =>
        el(
          "details",
          { "data-key": branch.spec.branchId, open: transaction.branches.length < 5 || branch.needsOperator },
          el(
            "summary",
            {},
            el("span", { class: "gid" }, branch.spec.branchId),
            ` ${branch.spec.service}/${branch.spec.action} `,
            el(
              "span",
              { class: "muted" },
              `${protocolWord(branch.spec.protocol)}, ${branch.state.toLowerCase().replaceAll("_", " ")}, ${plural(attemptsOf(branch), "attempt")}`,
            ),
            branch.resolved !== "DECISION_UNSPECIFIED"
              ? el(
                  "span",
                  { class: "badge held" },
                  `resolved: ${branch.resolved === "DECISION_COMMIT" ? "commit" : "abort"}`,
                )
              : null,
          ),
          branch.attempts.length
            ? table(branch)
            : attemptsOf(branch)
              ? missing(branch)
              : el("p", { class: "muted" }, "None so far."),
        ),
      ),
    );
  }

  #people(transaction) {
    if (transaction.interventions.length === 0) return null;
    return el(
      "section",
      { "aria-labelledby": "people" },
      el("h2", { id: "people" }, "What people did"),
      el(
        "ol",
        { class: "people" },
        transaction.interventions.map((one) =>
          el(
            "li",
            {},
            time(one.atUnixMs),
            " ",
            el("strong", {}, one.who),
            `: ${one.verb}${one.branchId ? `, branch ${one.branchId}` : ""}`,
            one.reason ? `: “${one.reason}”` : " (no reason given)",
          ),
        ),
      ),
    );
  }

  #facts(transaction) {
    const fact = (name, value) => (value ? [el("dt", {}, name), el("dd", {}, value)] : null);
    const at = (unixMs) => (Number(unixMs) ? [time(unixMs, { millis: true }), ` (${age(unixMs)} ago)`] : null);
    const holder = transaction.holder;
    return el(
      "section",
      { "aria-labelledby": "facts" },
      el("h2", { id: "facts" }, "Facts"),
      el(
        "dl",
        { class: "facts" },
        fact("Began", at(transaction.beganUnixMs)),
        fact("Decided", at(transaction.decidedUnixMs)),
        fact("Finished", at(transaction.finishedUnixMs)),
        fact("Deadline", Number(transaction.deadlineUnixMs) ? clock(transaction.deadlineUnixMs) : ""),
        fact(
          "Lived through",
          transaction.recoveries ? plural(transaction.recoveries, "start") + " of its coordinator" : "",
        ),
        fact("Trace", this.#trace(transaction.traceparent)),
        fact("Coordinator", holder ? `${holder.node} (${holder.address}) since ${clock(holder.sinceUnixMs)}` : ""),
        transaction.branches.flatMap((branch) =>
          fact(
            `Branch ${branch.spec.branchId}`,
            `payload ${plural(branch.spec.payloadBytes, "byte")}, result ${plural(branch.resultBytes, "byte")}${branch.spec.after.length ? `, after ${branch.spec.after.join(", ")}` : ""}`,
          ),
        ),
      ),
    );
  }

  // The id alone: of a span that began it nobody but the collector knows. Where it can be looked at,
  // the coordinator is told (--trace-url).
  #trace(traceparent) {
    const id = traceIdOf(traceparent);
    if (!id) return null;
    const href = traceUrl(this.app.pulse.server?.traceUrl, id);
    const shown = el("span", { class: "gid" }, id);
    const there = href ? el("a", { href, rel: "noopener noreferrer", target: "_blank" }, shown) : shown;
    return el("span", { class: "trace" }, there, " ", el("span", { "data-island": id }, copyButton(id, "trace id")));
  }

  #commands(transaction) {
    const gid = quoted(this.#gid);
    const lines = [`assentctl show ${gid}${transaction.state === "FINISHED" ? "" : " --watch"}`];
    for (const name of ["retry", "resume"])
      if (allowed(transaction).includes(name)) lines.push(`assentctl ${name} ${gid} --reason '…'`);
    if (transaction.held)
      for (const branch of transaction.branches.filter((one) => resolvable(transaction, one)))
        lines.push(`assentctl resolve ${gid} ${quoted(branch.spec.branchId)} commit --dry-run`);
    for (const branch of transaction.branches.filter((one) => one.needsOperator))
      lines.push(`assentctl resolve ${gid} ${quoted(branch.spec.branchId)} abort --dry-run`);
    return el(
      "section",
      { "aria-labelledby": "commands" },
      el("h2", { id: "commands" }, "The same in a terminal"),
      lines.map((line) => el("div", { "data-key": line, "data-island": line }, command(line))),
    );
  }
}
