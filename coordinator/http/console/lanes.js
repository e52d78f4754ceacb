// What happened to a transaction, as a picture: a lane for each branch, its phases as bars, attempts
// as ticks, and a line where the decision became durable. All of it stands in the tables below too.

import { svg } from "./dom.js";
import { attemptsOf, clock, duration, operationWord, phaseOf, plural, protocolWord } from "./format.js";
import { apart, scale } from "./scale.js";

const LANE = 58;
const BAR_TOP = 27;
const BAR = 16;
const BOTTOM = 34;
const SIDE = 14;
// Of a branch that has many attempts so many of the oldest are kept.
const FIRST_KEPT = 4;

const endOf = (attempt, now) =>
  attempt.result === "IN_FLIGHT" ? now : Number(attempt.startedUnixMs) + Number(attempt.latencyUs) / 1000;

// {phase, from, to, going}: attempts of one phase, from the first to the last, or to this moment.
function phasesOf(branch, rests, now) {
  const phases = [];
  for (const attempt of branch.attempts) {
    const phase = phaseOf(attempt.operation);
    let last = phases[phases.length - 1];
    if (!last || last.phase !== phase)
      phases.push((last = { phase, operation: attempt.operation, from: Number(attempt.startedUnixMs), attempts: [] }));
    last.to = endOf(attempt, now);
    last.attempts.push(attempt);
  }
  const last = phases[phases.length - 1];
  if (last && !rests && ["EXECUTING", "FINISHING", "UNDOING"].includes(branch.state)) {
    last.going = true;
    last.to = Math.max(last.to, now);
  }
  return phases;
}

const TONES = {
  DONE: "good",
  DONE_READ_ONLY: "good",
  REFUSED: "bad",
  RETRY_LATER: "warn",
  UNKNOWN: "warn",
  NOT_SENT: "none",
  IN_FLIGHT: "busy",
};

// Shapes differ too: not everybody sees colours.
function tick(attempt, x) {
  const y = BAR_TOP + BAR / 2;
  const shapes = {
    good: () => svg("circle", { cx: x, cy: y, r: 4.5 }),
    bad: () =>
      svg("path", { d: `M${x - 4.5} ${y - 4.5}L${x + 4.5} ${y + 4.5}M${x - 4.5} ${y + 4.5}L${x + 4.5} ${y - 4.5}` }),
    warn: () => svg("path", { d: `M${x} ${y - 5.5}L${x + 5.5} ${y + 4}L${x - 5.5} ${y + 4}Z` }),
    none: () => svg("path", { d: `M${x} ${y - 6}L${x} ${y + 6}` }),
    busy: () => svg("circle", { cx: x, cy: y, r: 4.5 }),
  };
  const tone = TONES[attempt.result] || "warn";
  const said =
    `${operationWord(attempt.operation)} ${attempt.number}, ${clock(attempt.startedUnixMs, { millis: true })}: ` +
    `${attempt.result.toLowerCase().replaceAll("_", " ")}${attempt.error ? `: ${attempt.error}` : ""}`;
  return svg("g", { class: `tick ${tone}` }, svg("title", {}, said), shapes[tone]());
}

// Those of which nothing is drawn: how many, where they were. The oldest have no room, or those
// behind the first ones are no longer kept.
function gap(branch, place, width) {
  const missing = branch.droppedAttempts + branch.attemptsLeftOut;
  if (missing === 0) return null;
  const at = branch.attempts.map((attempt) => place(Number(attempt.startedUnixMs)));
  const first = branch.attemptsLeftOut ? 0 : Math.min(FIRST_KEPT, at.length);
  const middle = ((at[first - 1] ?? SIDE) + (at[first] ?? at[first - 1] ?? SIDE)) / 2;
  const text = `+ ${plural(missing, "attempt")} not shown`;
  const half = widthOf(text) / 2;
  const x = Math.min(Math.max(middle, SIDE + half), width - SIDE - half);
  return svg("text", { x, y: BAR_TOP + BAR + 12, class: "gap", "text-anchor": "middle" }, text);
}

function lane(branch, rests, place, now, width) {
  const { spec } = branch;
  const name = `${spec.branchId}  ${spec.service}/${spec.action}`;
  const state = `${protocolWord(spec.protocol)} · ${branch.state.toLowerCase().replaceAll("_", " ")}`;
  const room = Math.floor((width - 2 * SIDE - widthOf(state)) / 7.8);
  const bars = phasesOf(branch, rests, now).map((phase) => {
    const from = place(phase.from);
    const length = Math.max(4, place(phase.to) - from);
    return svg(
      "rect",
      {
        x: from,
        y: BAR_TOP,
        width: length,
        height: BAR,
        rx: 4,
        class: `bar ${phase.phase}${phase.going ? " going" : ""}`,
      },
      svg(
        "title",
        {},
        `${operationWord(phase.operation)}: ${plural(phase.attempts.length, "attempt")}, ${duration(phase.to - phase.from)}`,
      ),
    );
  });
  return [
    svg(
      "text",
      { x: SIDE, y: 17, class: "name" },
      svg("title", {}, name),
      name.length > room ? `${name.slice(0, room - 1)}…` : name,
    ),
    svg("text", { x: width - SIDE, y: 17, class: "state", "text-anchor": "end" }, state),
    svg("line", { x1: SIDE, x2: width - SIDE, y1: BAR_TOP + BAR / 2, y2: BAR_TOP + BAR / 2, class: "rail" }),
    bars,
    branch.attempts.map((attempt) => tick(attempt, place(Number(attempt.startedUnixMs)))),
    gap(branch, place, width),
  ];
}

function line(x, top, height, kind, said) {
  return svg(
    "g",
    { class: `moment ${kind}` },
    svg("title", {}, said),
    svg("line", { x1: x, x2: x, y1: top - 8, y2: height - BOTTOM + 6 }),
  );
}

const personOf = (one) => `${one.verb} by ${one.who}`;

// What is written above the lines, and below them.
function labelsOf(transaction, place, moments, end) {
  const [began, decided] = [Number(transaction.beganUnixMs), Number(transaction.decidedUnixMs)];
  const above = transaction.interventions.map((one) => ({
    at: place(Number(one.atUnixMs)),
    text: personOf(one).slice(0, 32),
    weight: 5,
    kind: "person",
  }));
  const below = moments.map((at) => ({ at: place(at), text: `+${duration(at - began)}`, weight: 1 }));
  below.push({ at: place(began), text: clock(began), weight: 9 });
  below.push({
    at: place(end),
    text: Number(transaction.finishedUnixMs) ? `finished ${clock(end)}` : "now",
    weight: 8,
  });
  if (decided) {
    const kind = verdictOf(transaction);
    above.push({ at: place(decided), text: `${kind} is durable`, weight: 9, kind });
    below.push({ at: place(decided), text: `+${duration(Math.max(1, decided - began))}`, weight: 7 });
  }
  return { above, below };
}

const verdictOf = (transaction) => (transaction.decision === "DECISION_COMMIT" ? "commit" : "abort");
const widthOf = (text) => text.length * 6.6;

// `width` in pixels.
export function lanes(transaction, width, now = Date.now()) {
  const decided = Number(transaction.decidedUnixMs);
  const end = Number(transaction.finishedUnixMs) || now;
  const people = transaction.interventions.map((one) => Number(one.atUnixMs));
  const attempts = transaction.branches
    .flatMap((branch) => branch.attempts)
    .flatMap((attempt) => [Number(attempt.startedUnixMs), endOf(attempt, now)]);
  const all = [Number(transaction.beganUnixMs), decided, end, ...people, ...attempts].filter((at) => at <= end);
  const { at: onScale, moments } = scale(all, width - 2 * SIDE);
  const place = (at) => SIDE + onScale(at);

  const { above, below } = labelsOf(transaction, place, moments, end);
  const top = above.length ? 32 : 6;
  const height = top + transaction.branches.length * LANE + BOTTOM;
  const verdict = verdictOf(transaction);
  const durable = `The decision to ${verdict} became durable at ${clock(decided, { millis: true })}`;
  const write = (labels, y, kind) =>
    apart(labels, SIDE, width, widthOf).map((label) =>
      svg("text", { x: label.middle, y, class: `${kind} ${label.kind || ""}`, "text-anchor": "middle" }, label.text),
    );
  return svg(
    "svg",
    {
      class: "lanes",
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": inWords(transaction),
    },
    decided ? line(place(decided), top, height, verdict, durable) : null,
    transaction.interventions.map((one, at) =>
      line(place(people[at]), top, height, "person", `${personOf(one)}: ${one.reason}`),
    ),
    transaction.branches.map((branch, at) =>
      svg("g", { transform: `translate(0 ${top + at * LANE})` }, lane(branch, transaction.suspended, place, now, width)),
    ),
    write(above, 20, "above"),
    write(below, height - 9, "below"),
  );
}

function inWords(transaction) {
  const branches = transaction.branches.map(
    (branch) =>
      `branch ${branch.spec.branchId} ${branch.spec.service}/${branch.spec.action} is ${branch.state.toLowerCase()} after ${plural(attemptsOf(branch), "attempt")}`,
  );
  const decided = Number(transaction.decidedUnixMs)
    ? `decided after ${duration(Math.max(1, transaction.decidedUnixMs - transaction.beganUnixMs))}`
    : "not decided";
  return `Timeline: ${decided}; ${branches.join("; ")}`;
}
