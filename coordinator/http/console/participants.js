// The services that take part: who is there, what they are busy with, how often they fail, and what
// waits for those that are gone.

import { getAll, repeat } from "./api.js";
import { link } from "./address.js";
import { el, show } from "./dom.js";
import { callsOf } from "./figures.js";
import { age, number, plural } from "./format.js";
import { nobodyOf } from "./spelling.js";

const EVERY_MS = 2000;
const SPAN_MS = 300000; // error rates are of the last five minutes, or since the page is open

export class ParticipantsPage {
  title = "Participants";
  #reply = null;
  #failure = null;

  constructor(root, _, app) {
    this.app = app;
    this.body = el("div", {});
    root.append(el("header", { class: "heading" }, el("h1", {}, "Participants")), this.body);
    this.again = repeat(EVERY_MS, () => this.refresh_());
  }

  close() {
    this.again.end();
  }

  refresh() {
    this.again.now();
  }

  async refresh_() {
    try {
      this.#reply = await getAll("/v1/participants", {}, "participants");
      this.#failure = null;
    } catch (failure) {
      this.#failure = failure;
    }
    this.#draw();
  }

  #draw() {
    if (!this.#reply)
      return show(this.body, el("p", { class: "muted" }, this.#failure ? this.#failure.message : "Loading…"));
    const { participants, silent } = this.#reply;
    const gone = (one) => Number(one.waiting) > 0;
    const sorted = [...participants].sort(
      (a, b) => gone(b) - gone(a) || Number(b.waiting) - Number(a.waiting) || a.service.localeCompare(b.service),
    );
    show(
      this.body,
      silent.map((member) =>
        el(
          "p",
          { class: "warning" },
          `${member.node || member.address} does not answer: what it alone knows is missing. ${member.why}`,
        ),
      ),
      sorted.length === 0
        ? el(
            "div",
            { class: "empty" },
            el("h2", {}, "Nobody takes part yet"),
            el("p", {}, "A service appears here when it connects, or when a transaction waits for it."),
          )
        : el(
            "div",
            { class: "wide" },
            el(
              "table",
              { class: "participants" },
              el(
                "thead",
                {},
                el(
                  "tr",
                  {},
                  ["Service", "Instances", "In flight", "Queued", "Waiting", "Asked", "Failed"].map((name, at) =>
                    el("th", { scope: "col", class: at > 1 ? "number" : "" }, name),
                  ),
                ),
              ),
              el(
                "tbody",
                {},
                sorted.map((one) => this.#row(one)),
              ),
            ),
          ),
      el(
        "p",
        { class: "muted" },
        "Asked and failed: of the last five minutes, or since this page was opened, by the coordinator that answers. A refusal is an answer; failed is what had none, or had to be asked again.",
      ),
    );
  }

  #row(one) {
    const there = one.instances.filter((instance) => Number(instance.connectedUnixMs) > 0);
    const waiting = Number(one.waiting);
    const { pulse } = this.app;
    const calls = callsOf(pulse.before(SPAN_MS), pulse.now, one.service);
    const share = calls.all ? (100 * calls.failed) / calls.all : 0;
    const inFlight = one.instances.reduce((sum, instance) => sum + instance.inFlight, 0);
    return el(
      "tr",
      { "data-key": one.service, class: waiting ? "bad" : "" },
      el(
        "th",
        { scope: "row" },
        el("a", { href: link("attention", "", { service: one.service }) }, one.service),
        one.actions.length ? el("span", { class: "muted actions-of" }, one.actions.join(", ")) : null,
      ),
      el(
        "td",
        {},
        there.length === 0 &&
          el("span", { class: "badge bad" }, one.instances.length ? "cannot be reached" : "nobody connected"),
        there.length === 0 && this.#spelling(one),
        this.#instances(one, there),
      ),
      el("td", { class: "number", "data-label": "In flight" }, number(inFlight)),
      el("td", { class: `number ${one.queued ? "warn" : ""}`, "data-label": "Queued" }, number(one.queued)),
      el(
        "td",
        { class: "number", "data-label": "Waiting" },
        waiting
          ? el("a", { href: link("attention", "", { service: one.service }) }, plural(waiting, "transaction"))
          : "0",
      ),
      el("td", { class: "number", "data-label": "Asked" }, number(calls.all)),
      el(
        "td",
        { class: `number ${share >= 10 ? "warn" : ""}`, "data-label": "Failed" },
        calls.all ? `${share < 10 ? share.toFixed(1) : Math.round(share)} %` : "–",
      ),
    );
  }

  #spelling(one) {
    const said = nobodyOf(one.service, this.app.pulse);
    return said ? el("span", { class: "muted spelling" }, ` ${said}`) : null;
  }

  #instances(one, there) {
    if (one.instances.length === 0) return null;
    const all = one.instances.length + one.instancesLeftOut;
    const words =
      there.length === 0 || there.length === one.instances.length
        ? plural(all, "instance")
        : `${there.length} of ${plural(all, "instance")} can be reached`;
    return el(
      "details",
      {},
      el("summary", {}, words),
      el(
        "ul",
        { class: "instances" },
        one.instances.map((instance) =>
          el(
            "li",
            {},
            el("span", { class: "gid" }, instance.instance),
            ` ${instance.transport}${instance.agent ? `, ${instance.agent}` : ""}, `,
            instance.transport === "unary" && instance.source ? `known by ${instance.source}, ` : "",
            Number(instance.connectedUnixMs)
              ? `connected for ${age(instance.connectedUnixMs)}`
              : "cannot be reached now",
            `, ${number(instance.inFlight)} in flight`,
            instance.notAt.length ? `; not at ${instance.notAt.join(", ")}` : "",
          ),
        ),
      ),
    );
  }
}
