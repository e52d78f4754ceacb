// Figures over time as lines. One plot is one SVG, drawn anew with each reading.

import { el, svg } from "./dom.js";
import { clock } from "./format.js";

const HEIGHT = 150;
const LEFT = 54;
const BOTTOM = 18;
const TOP = 8;

// A round number that is not below: 1, 2 or 5 times a power of ten; of more than some seconds, what
// clocks find round.
function ceiling(value, time) {
  if (!(value > 0)) return 1;
  const round = time && [10, 20, 60, 120, 600, 1200, 3600, 7200, 21600, 43200, 86400].find((step) => step >= value);
  if (round && value > 5) return round;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= value * 0.999);
}

// Pieces of a line: where there is no value there is a gap.
function pathOf(values, x, y) {
  let path = "";
  let on = false;
  values.forEach((value, at) => {
    if (value !== null && value !== undefined) path += `${on ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    on = value !== null && value !== undefined;
  });
  return path;
}

// `series`: [{name, tone, values}], a value for each of `times`, or null. `say` words a value.
export function plot({ title, note, times, series, say, time, width, at }) {
  const values = series.flatMap((one) => one.values.filter((value) => value !== null));
  const most = ceiling(Math.max(0, ...values), time);
  const [first, last] = [times[0], times[times.length - 1]];
  const x = (number) =>
    LEFT + (last > first ? ((times[number] - first) / (last - first)) * (width - LEFT - 4) : width - LEFT - 4);
  const y = (value) => TOP + (1 - value / most) * (HEIGHT - TOP - BOTTOM);
  const shown = at === undefined ? times.length - 1 : at;
  const grid = [0, most / 2, most].map((value) => [
    svg("line", { x1: LEFT, x2: width, y1: y(value), y2: y(value), class: "grid" }),
    svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, say(value)),
  ]);
  const now = series.map(
    (one) =>
      `${one.name} ${one.values[shown] === null || one.values[shown] === undefined ? "–" : say(one.values[shown])}`,
  );
  const picture = svg(
    "svg",
    {
      class: "plot",
      width,
      height: HEIGHT,
      viewBox: `0 0 ${width} ${HEIGHT}`,
      role: "img",
      "aria-label": `${title}: ${now.join(", ")}`,
    },
    grid,
    svg("text", { x: LEFT, y: HEIGHT - 3 }, times.length > 1 ? clock(first) : ""),
    svg("text", { x: width - 2, y: HEIGHT - 3, "text-anchor": "end" }, times.length ? clock(last) : ""),
    series.map((one) => svg("path", { d: pathOf(one.values, x, y), class: `line ${one.tone}` })),
    at === undefined ? null : svg("line", { x1: x(at), x2: x(at), y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor" }),
  );
  return el(
    "figure",
    { "data-key": title },
    el("figcaption", {}, el("h2", {}, title), note && el("span", { class: "muted" }, note)),
    picture,
    el(
      "ul",
      { class: "legend" },
      series.map((one, number) =>
        el("li", {}, el("i", { class: `key line ${one.tone}`, "aria-hidden": "true" }), now[number]),
      ),
      at === undefined ? null : el("li", { class: "muted" }, clock(times[at])),
    ),
  );
}

// Which reading stands where the pointer is.
export function readingAt(event, times) {
  const box = event.currentTarget.getBoundingClientRect();
  const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - 4);
  const wanted = times[0] + share * (times[times.length - 1] - times[0]);
  let best = 0;
  times.forEach((time, at) => Math.abs(time - wanted) < Math.abs(times[best] - wanted) && (best = at));
  return best;
}
