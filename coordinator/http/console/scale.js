// A line of time on which milliseconds and hours have room: the longer nothing happens, the shorter
// a second is drawn. Order is kept, and what happened at different times stands apart.

// `moments`: everything that has a place of its own.
export function scale(moments, width) {
  const sorted = [...new Set(moments.filter((at) => at > 0))].sort((a, b) => a - b);
  const places = [0];
  for (let i = 1; i < sorted.length; i++) {
    places.push(places[i - 1] + Math.log2(2 + (sorted[i] - sorted[i - 1]) / 20));
  }
  const all = places[places.length - 1] || 1;
  const at = (moment) => {
    const next = sorted.findIndex((one) => one >= moment);
    if (next < 0) return width;
    if (next === 0) return 0;
    const share = (moment - sorted[next - 1]) / (sorted[next] - sorted[next - 1]);
    return ((places[next - 1] + share * (places[next] - places[next - 1])) / all) * width;
  };
  return { at, moments: sorted };
}

// Those of `labels` ({at: pixels, text, weight}) that do not stand on one another, the weightier first.
export function apart(labels, side, width, widthOf) {
  const kept = [];
  for (const label of [...labels].sort((a, b) => b.weight - a.weight)) {
    const half = widthOf(label.text) / 2;
    const middle = Math.min(Math.max(label.at, side + half), width - side - half);
    if (kept.every((other) => other.text !== label.text && Math.abs(other.middle - middle) > half + other.half + 8))
      kept.push({ ...label, middle, half });
  }
  return kept;
}
