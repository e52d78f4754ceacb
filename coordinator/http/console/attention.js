// The first page: what keeps transactions from ending, a row for each cause. One row opens.

import { get, repeat } from "./api.js";
import { link, replace } from "./address.js";
import { mayDo } from "./actions.js";
import { askForMany } from "./batch.js";
import { command, el, show } from "./dom.js";
import { asked, filterForm, flags, isFinished } from "./filters.js";
import { age, number, plural } from "./format.js";
import { TransactionList } from "./list.js";
import { session } from "./session.js";
import { nobodyOf } from "./spelling.js";

const EVERY_MS = 2000;
const KINDS = {
  CONTRADICTED: { tone: "bad", word: "needs a person" },
  NOT_CONNECTED: { tone: "warn", word: "not connected" },
  NOT_SENT_ON: { tone: "warn", word: "not sent on" },
  FAILING: { tone: "warn", word: "failing" },
  HELD: { tone: "bad", word: "held" },
  SUSPENDED: { tone: "held", word: "suspended" },
  NOT_SEALED: { tone: "plain", word: "open" },
  NOT_ANSWERED: { tone: "good", word: "asked, no answer yet" },
  UNDER_WAY: { tone: "good", word: "under way" },
};

const kindOf = (cause) =>
  KINDS[cause.kind] || { tone: "plain", word: cause.kind.toLowerCase() };

export class AttentionPage {
  title = "Attention";
  #query;
  #reply = null;
  #failure = null;
  #list = null;
  #listed = "";

  constructor(root, { query }, app) {
    this.app = app;
    this.heading = el("header", { class: "heading" });
    this.filters = el("div", {});
    this.causes = el("div", {});
    this.all = el("div", {});
    this.foot = el("div", { class: "same" });
    root.append(this.heading, this.filters, this.causes, this.all, this.foot);
    this.#query = query;
    this.again = repeat(EVERY_MS, () => this.#ask());
    this.update({ query });
  }

  close() {
    this.again.end();
    this.#list?.close();
  }

  refresh() {
    this.again.now();
    this.#list?.refresh();
  }

  // Another address of the same page.
  update({ query }) {
    const before = asked(this.#query).join();
    this.#query = query;
    if (asked(query).join() !== before) {
      this.#reply = this.#without("cause", before) === this.#without("cause", asked(query).join()) ? this.#reply : null;
      this.again.now();
    }
    this.#draw();
  }

  #without(name, text) {
    return text.replace(new RegExp(`(^|,)${name},[^,]*`), "");
  }

  // Of all causes that the filters let through, also when one is open.
  get #filters() {
    return asked(this.#query).filter(([name]) => name !== "cause");
  }

  async #ask() {
    if (isFinished(this.#query)) return this.#draw();
    const filters = this.#filters.join();
    try {
      const reply = await get("/v1/causes", this.#filters);
      if (filters !== this.#filters.join()) return;
      this.#reply = reply;
      this.#failure = null;
    } catch (failure) {
      this.#failure = failure;
    }
    this.#draw();
  }

  // ---- Keys -----------------------------------------------------------------------------------------

  move(by) {
    if (this.#list) return this.#list.move(by);
    const rows = [...this.causes.querySelectorAll(".cause > h2 > button")];
    const at = rows.indexOf(document.activeElement);
    rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))]?.focus();
  }

  toEnd() {
    this.#list?.toEnd();
  }

  toStart() {
    this.#list?.choose(0);
  }

  // Whether there was something to leave.
  escape() {
    if (!this.#query.get("cause")) return false;
    this.#open("");
    return true;
  }

  // ---- Drawing --------------------------------------------------------------------------------------

  #draw() {
    const services = Object.keys(this.app.pulse.now?.services || {});
    const change = (query) => replace(link("attention", "", query));
    show(this.heading, this.#title(), this.#views());
    show(this.filters, filterForm(this.#query, services, change));
    const flat = isFinished(this.#query) || this.#query.get("view") === "list";
    show(this.causes, flat ? null : this.#rows());
    this.#placeList(flat);
    const words = flags(this.#query);
    const line = `assentctl list${flat ? "" : " --group-by why"}${words ? ` ${words}` : ""}`;
    show(this.foot, el("div", { "data-key": line, "data-island": line }, command(line)));
  }

  #title() {
    const reply = this.#reply;
    if (isFinished(this.#query)) return el("h1", {}, "Transactions");
    if (!reply) return el("h1", {}, this.#failure ? "It is not known what needs attention" : "Attention");
    const needs = reply.causes.reduce((sum, cause) => sum + Number(cause.needsOperator), 0);
    const delayed = reply.causes
      .filter((cause) => ["bad", "warn"].includes(KINDS[cause.kind]?.tone))
      .reduce((sum, cause) => sum + Number(cause.count), 0);
    const words =
      Number(reply.total) === 0
        ? "Nothing waits"
        : needs
          ? `${number(needs)} ${needs === 1 ? "needs" : "need"} a person`
          : delayed
            ? `${number(delayed)} delayed`
            : "All goes well";
    return [
      el("h1", {}, words),
      el(
        "p",
        { class: "muted" },
        `${plural(reply.total, "unfinished transaction")}${delayed && needs ? `, ${number(delayed)} delayed` : ""}`,
      ),
    ];
  }

  #views() {
    if (isFinished(this.#query)) return null;
    const flat = this.#query.get("view") === "list";
    const to = (view, word, on) => {
      const query = new URLSearchParams(this.#query);
      query.delete("cause");
      query.delete("view");
      if (view) query.set("view", view);
      return el("a", { href: link("attention", "", query), "aria-current": on ? "true" : null }, word);
    };
    return el(
      "nav",
      { class: "views", "aria-label": "View" },
      to("", "By cause", !flat),
      to("list", "One by one", flat),
    );
  }

  #rows() {
    if (!this.#reply) {
      return this.#failure && !this.#failure.away
        ? el("p", { class: "warning", role: "alert" }, this.#failure.message)
        : el("p", { class: "muted" }, this.#failure ? this.#failure.message : "Loading…");
    }
    const { causes, others, silent, slotsLeftOut } = this.#reply;
    return [
      silent.map((member) =>
        el(
          "p",
          { class: "warning" },
          `${member.node || member.address} does not answer: its transactions are not counted here. ${member.why}`,
        ),
      ),
      slotsLeftOut
        ? el(
            "p",
            { class: "warning" },
            `${plural(slotsLeftOut, "slot")} in nobody's hands at this moment: their transactions are not counted here.`,
          )
        : null,
      causes.length === 0
        ? this.#nothing()
        : el(
            "ol",
            { class: "causes" },
            causes.map((cause) => this.#cause(cause)),
          ),
      Number(others)
        ? el(
            "p",
            { class: "muted" },
            `${plural(others, "further transaction")} of causes for which there is no room here: filter, or look at them one by one.`,
          )
        : null,
    ];
  }

  #nothing() {
    const filtered = this.#filters.length > 0;
    return el(
      "div",
      { class: "empty" },
      el("h2", {}, filtered ? "Nothing unfinished matches" : "Nothing needs attention"),
      el(
        "p",
        {},
        filtered ? "Take a filter away, or look among the finished ones." : "Every transaction has come to its end.",
      ),
      el("p", {}, el("a", { href: link("attention", "", { state: "finished" }) }, "Finished transactions")),
    );
  }

  #cause(cause) {
    const kind = kindOf(cause);
    const tone = Number(cause.needsOperator) ? "bad" : kind.tone;
    const open = this.#query.get("cause") === cause.key;
    const count = Number(cause.count);
    const states = cause.states.map((one) => `${number(one.count)} ${one.state.toLowerCase()}`).join(", ");
    return el(
      "li",
      { class: `cause ${tone}${open ? " open" : ""}`, "data-key": cause.key },
      el(
        "h2",
        {},
        el(
          "button",
          { type: "button", "aria-expanded": String(open), onclick: () => this.#open(open ? "" : cause.key) },
          el("span", { class: "count" }, number(count)),
          el("span", { class: "sentence" }, cause.sentence, this.#detail(cause, tone, open), this.#spelling(cause)),
          el(
            "span",
            { class: `badge ${tone}` },
            Number(cause.needsOperator) && cause.kind !== "CONTRADICTED" ? `${kind.word}, needs a person` : kind.word,
          ),
          el("span", { class: "age" }, count === 1 ? age(cause.oldestUnixMs) : `oldest ${age(cause.oldestUnixMs)}`),
        ),
      ),
      open
        ? el(
            "div",
            { class: "inside" },
            el("p", { class: "example" }, el("span", { class: "gid" }, cause.gids[0]), `: ${cause.example}`),
            cause.manyWordings ? el("p", { class: "muted" }, "They say it in many different words.") : null,
            el("p", { class: "muted" }, states),
            this.#batch(cause),
            el("div", { "data-island": `list ${cause.key}`, class: "place" }),
          )
        : null,
    );
  }

  // What one of them was told last, which the sentence leaves out where it differs.
  #detail(cause, tone, open) {
    const last = /last: (.*)/.exec(cause.example);
    return last && !open && ["bad", "warn"].includes(tone) ? el("span", { class: "detail" }, last[1]) : null;
  }

  // A name that may be misspelt.
  #spelling(cause) {
    if (cause.kind !== "NOT_CONNECTED") return null;
    const said = nobodyOf(cause.service, this.app.pulse);
    return said ? el("span", { class: "detail spelling" }, said) : null;
  }

  #batch(cause) {
    const button = (verb, word, grave) =>
      el(
        "button",
        {
          type: "button",
          class: grave ? "grave" : "",
          "data-key": verb,
          onclick: () =>
            askForMany(this.#query, cause, verb, (said) => {
              this.app.tell(said);
              this.refresh();
            }),
        },
        word,
      );
    if (!mayDo("retry")) return el("p", { class: "muted" }, session.whyNot("OPERATE"));
    const undecided = cause.states.some((one) => one.state === "ACTIVE");
    const held = cause.kind === "HELD";
    return el(
      "div",
      { class: "actions", role: "group", "aria-label": "For all of them" },
      held &&
        el(
          "p",
          { class: "muted" },
          "Each of them may have been committed in the time that the log lacks: look at its participants, and end them one by one.",
        ),
      cause.kind === "SUSPENDED" && button("resume", "Resume all…"),
      !held && cause.kind !== "SUSPENDED" && [button("retry", "Retry all…"), button("suspend", "Suspend all…")],
      undecided && !held && button("abort", "Abort all…", true),
    );
  }

  #open(key) {
    const query = new URLSearchParams(this.#query);
    query.delete("cause");
    if (key) query.set("cause", key);
    location.hash = link("attention", "", query);
  }

  // The list stands in the row that is open, or by itself.
  #placeList(flat) {
    const key = this.#query.get("cause");
    const place = flat ? this.all : this.causes.querySelector(".place");
    const wanted = asked(this.#query).join();
    if (this.#list && (!place?.contains(this.#list.element) || wanted !== this.#listed)) {
      this.#list.close();
      this.#list.element.remove();
      this.#list = null;
    }
    const expected = Number(this.#reply?.causes.find((cause) => cause.key === key)?.count || 0);
    if (place && !this.#list) {
      this.#list = new TransactionList(asked(this.#query), { label: "Transactions", expected });
      this.#listed = wanted;
      place.append(this.#list.element);
    }
    if (this.#list) this.#list.expected = expected;
  }
}
