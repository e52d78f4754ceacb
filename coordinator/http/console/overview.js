// How it goes: rates, what is in flight, how old the oldest is, how long a decision takes; and of
// several coordinators, how each one is.

import { el, show } from "./dom.js";
import { quantile, rate, STATES } from "./figures.js";
import { age, clock, duration, number, plural } from "./format.js";
import { plot, readingAt } from "./plot.js";

const short = (value) =>
  value >= 10000
    ? `${number(Math.round(value / 1000))}k`
    : value >= 10 || Number.isInteger(value)
      ? number(Math.round(value))
      : value.toFixed(1);
const seconds = (value) => duration(value * 1000);
const STATE_TONES = { active: "busy", committing: "good", aborting: "undo" };

export class OverviewPage {
  title = "Overview";
  #at = undefined; // the reading that is pointed at

  constructor(root, _, app) {
    this.app = app;
    this.top = el("div", {});
    this.plots = el("div", { class: "plots" });
    this.rest = el("div", {});
    root.append(el("header", { class: "heading" }, el("h1", {}, "Overview")), this.top, this.plots, this.rest);
    this.drawing = () => this.#draw();
    app.pulse.addEventListener("beat", this.drawing);
    this.sized = new ResizeObserver(this.drawing);
    this.sized.observe(this.plots);
    this.#draw();
  }

  close() {
    this.app.pulse.removeEventListener("beat", this.drawing);
    this.sized.disconnect();
  }

  refresh() {}

  #draw() {
    const { server, readings, now } = this.app.pulse;
    if (!server || !now) return show(this.top, el("p", { class: "muted" }, "Loading…"));
    show(this.top, this.#tiles(server, readings));
    this.#drawPlots(readings);
    show(this.rest, this.#members(server), this.#facts(server));
  }

  #tiles(server, readings) {
    const before = this.app.pulse.before(10000);
    const now = this.app.pulse.now;
    const a_second = (of) => {
      const found = before === now ? null : rate(before, now, of);
      return found === null ? "–" : `${short(found)}/s`;
    };
    const oldest = Math.max(0, ...STATES.map((state) => now.oldest[state] || 0));
    const unfinished = Number(server.active) + Number(server.committing) + Number(server.aborting);
    const tile = (name, value, tone = "") =>
      el("div", { class: `tile ${tone}` }, el("dt", {}, name), el("dd", {}, value));
    return el(
      "dl",
      { class: "tiles" },
      tile("Unfinished", number(unfinished)),
      tile("Need a person", number(server.needsOperator), Number(server.needsOperator) ? "bad" : ""),
      tile("Oldest", oldest ? seconds(oldest) : "–"),
      tile(
        "Begun",
        a_second((one) => one.begun),
      ),
      tile(
        "Committed",
        a_second((one) => one.decided.commit),
      ),
      tile(
        "Aborted",
        a_second((one) => one.decided.abort),
      ),
      tile("Finished, kept", number(server.retained)),
    );
  }

  #drawPlots(readings) {
    const times = readings.map((one) => one.at);
    const columns = this.plots.clientWidth > 760 ? 2 : 1;
    const width = Math.max(240, Math.floor(this.plots.clientWidth / columns) - (columns === 2 ? 42 : 32));
    const rates = (of) => readings.map((one, at) => (at ? rate(readings[at - 1], one, of) : null));
    const quantiles = (share) =>
      readings.map((one, at) => (at ? quantile(readings[Math.max(0, at - 5)], one, share) : null));
    const all = [
      {
        title: "Transactions a second",
        say: short,
        series: [
          { name: "begun", tone: "busy", values: rates((one) => one.begun) },
          { name: "committed", tone: "good", values: rates((one) => one.decided.commit) },
          { name: "aborted", tone: "undo", values: rates((one) => one.decided.abort) },
        ],
      },
      {
        title: "In flight",
        say: short,
        series: STATES.map((state) => ({
          name: state,
          tone: STATE_TONES[state],
          values: readings.map((one) => one.inFlight[state] ?? null),
        })),
      },
      {
        title: "Age of the oldest",
        say: seconds,
        time: true,
        series: STATES.map((state) => ({
          name: state,
          tone: STATE_TONES[state],
          values: readings.map((one) => one.oldest[state] || null),
        })),
      },
      {
        title: "Time to a decision",
        say: seconds,
        time: true,
        series: [
          { name: "half within", tone: "busy", values: quantiles(0.5) },
          { name: "99 % within", tone: "warn", values: quantiles(0.99) },
        ],
      },
    ];
    show(
      this.plots,
      all.map((one) => {
        const figure = plot({ ...one, times, width, at: this.#at < times.length ? this.#at : undefined });
        figure.querySelector("svg").onpointermove = (event) => {
          this.#at = readingAt(event, times);
          this.#draw();
        };
        figure.querySelector("svg").onpointerleave = () => {
          this.#at = undefined;
          this.#draw();
        };
        return figure;
      }),
    );
  }

  #members(server) {
    if (server.members.length === 0) return null;
    const row = (member) => {
      const info = member.info;
      return el(
        "tr",
        { "data-key": member.epoch, class: info ? "" : "bad" },
        el("th", { scope: "row" }, member.node),
        el("td", { class: "gid" }, member.address),
        info
          ? [
              el("td", {}, info.version),
              el(
                "td",
                { class: "number" },
                number(Number(info.active) + Number(info.committing) + Number(info.aborting)),
              ),
              el("td", { class: "number" }, number(info.needsOperator)),
              el("td", {}, info.refusing || "taken"),
            ]
          : el("td", { colspan: 4 }, el("span", { class: "badge bad" }, "does not answer"), ` ${member.silent}`),
      );
    };
    return el(
      "section",
      { "aria-labelledby": "members" },
      el("h2", { id: "members" }, plural(server.members.length, "coordinator")),
      el(
        "p",
        { class: "muted" },
        "The tiles count over all that answer; rates and plots are of the one that serves this page.",
      ),
      el(
        "div",
        { class: "wide" },
        el(
          "table",
          {},
          el(
            "thead",
            {},
            el(
              "tr",
              {},
              ["Node", "Address", "Version", "Unfinished", "Need a person", "New work"].map((name) =>
                el("th", { scope: "col" }, name),
              ),
            ),
          ),
          el("tbody", {}, server.members.map(row)),
        ),
      ),
    );
  }

  #facts(server) {
    const fact = (name, value) => [el("dt", {}, name), el("dd", {}, value)];
    const group = Number(server.logCommits) ? (Number(server.logRecords) / Number(server.logCommits)).toFixed(1) : "–";
    return el(
      "section",
      { "aria-labelledby": "server" },
      el("h2", { id: "server" }, "This coordinator"),
      el(
        "dl",
        { class: "facts" },
        fact("Version", server.version),
        fact("Started", `${clock(server.startedUnixMs)} (${age(server.startedUnixMs)} ago)`),
        fact("Log", server.dataFile),
        fact("Coordinator", `${server.coordinatorId}, epoch ${server.epoch}`),
        fact("New work", server.refusing ? `refused: ${server.refusing}` : "taken"),
        fact("Log records in a commit", group),
        Number(server.setAside) ? fact("Set aside", plural(server.setAside, "row")) : null,
      ),
    );
  }
}
