#!/usr/bin/python3
"""Draws throughput and latency against transactions in flight: plot.py IN-FLIGHT.JSON FOLDER

Plain SVG, no library. Mid-tone colours on a transparent ground, so that it reads on white and on black; a reader's preference for
dark is followed where the viewer tells.
"""

import json
import math
import os
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 72, 150, 58, 52
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #444 }
  .title { font-size: 15px; font-weight: 600 }
  .axis { stroke: #888; stroke-width: 1 }
  .grid { stroke: #888; stroke-opacity: .22; stroke-width: 1 }
  .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round }
  .assentd { stroke: #1f6fd6 } .assentd-dot { fill: #1f6fd6 } .assentd-name { fill: #1f6fd6; font-weight: 600 }
  .floor { stroke: #999; stroke-dasharray: 7 5 } .floor-dot { fill: #999 } .floor-name { fill: #777; font-weight: 600 }
  .tail { stroke-opacity: .55; stroke-width: 1.6 }
  @media (prefers-color-scheme: dark) {
    text { fill: #c8c8c8 }
    .assentd { stroke: #6cb0ff } .assentd-dot { fill: #6cb0ff } .assentd-name { fill: #6cb0ff }
    .floor { stroke: #9a9a9a } .floor-dot { fill: #9a9a9a } .floor-name { fill: #a8a8a8 }
  }
"""


class Axis:
    def __init__(self, low, high, begin, end, log):
        self.low, self.high, self.begin, self.end, self.log = low, high, begin, end, log

    def at(self, value):
        if self.log:
            share = (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)


def nice_step(high):
    """A step of 1, 2 or 5 times a power of ten that gives four to eight lines."""
    raw = high / 5
    power = 10 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)


def number(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def line(points, css, x, y):
    path = " ".join(f"{'M' if i == 0 else 'L'}{x.at(px):.1f},{y.at(py):.1f}" for i, (px, py) in enumerate(points))
    return f'<path class="line {css}" d="{path}"/>'


def dots(points, css, x, y):
    return "".join(f'<circle class="{css}" cx="{x.at(px):.1f}" cy="{y.at(py):.1f}" r="3.5"/>' for px, py in points)


def spread_labels(labels):
    """Labels at the ends of lines, moved apart where they would overlap."""
    labels = sorted(labels, key=lambda label: label[0])
    for i in range(1, len(labels)):
        if labels[i][0] - labels[i - 1][0] < 16:
            labels[i] = (labels[i - 1][0] + 16, *labels[i][1:])
    return labels


def chart(title, unit, counts, series, log):
    """`series`: (name, css, values, is the main line)."""
    x = Axis(counts[0], counts[-1], LEFT, WIDTH - RIGHT, True)
    values = [v for _, _, vs, _ in series for v in vs]
    if log:
        low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
        ticks = [10.0 ** e for e in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    else:
        step = nice_step(max(values))
        low, high = 0, step * math.ceil(max(values) / step)
        ticks = [step * i for i in range(round(high / step) + 1)]
    y = Axis(low, high, HEIGHT - BOTTOM, TOP, log)
    out = [f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>']
    for tick in ticks:
        at = y.at(tick)
        out.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    for count in counts:
        at = x.at(count)
        out.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}"/>')
        out.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{count:,}</text>')
    out.append(f'<line class="axis" x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH - RIGHT}" y2="{HEIGHT - BOTTOM}"/>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">transactions in flight</text>')
    out.append(f'<text x="{LEFT}" y="{TOP - 12}" text-anchor="start" fill-opacity=".8">{escape(unit)}</text>')
    labels = []
    for name, css, vs, main in series:
        points = list(zip(counts, vs))
        out.append(line(points, css if main else css + " tail", x, y))
        if main:
            out.append(dots(points, css + "-dot", x, y))
        labels.append((y.at(vs[-1]) + 4, css, name))
    for at, css, name in spread_labels(labels):
        out.append(f'<text class="{css}-name" x="{WIDTH - RIGHT + 10}" y="{at:.1f}">{escape(name)}</text>')
    body = "\n".join(out)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
            f'aria-label="{escape(title)}">\n<style>{STYLE}</style>\n{body}\n</svg>\n')


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        points = json.load(file)["result"]["points"]
    counts = [p["in_flight"] for p in points]
    of = lambda name, key: [p[name][key] for p in points]
    charts = {
        "throughput.svg": chart("TCC, 2 branches: throughput", "transactions/s", counts,
                                [("floor", "floor", of("floor", "throughput"), True),
                                 ("assentd", "assentd", of("assentd", "throughput"), True)], False),
        "latency.svg": chart("TCC, 2 branches: time to the decision", "milliseconds", counts,
                             [("floor p50", "floor", of("floor", "p50_ms"), True),
                              ("floor p99", "floor", of("floor", "p99_ms"), False),
                              ("assentd p50", "assentd", of("assentd", "p50_ms"), True),
                              ("assentd p99", "assentd", of("assentd", "p99_ms"), False)], True),
    }
    os.makedirs(sys.argv[2], exist_ok=True)
    for name, text in charts.items():
        with open(os.path.join(sys.argv[2], name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
