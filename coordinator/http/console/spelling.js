// Names of services that may be misspelt: of which nobody was here, and that are like another one.

// So many names at most have figures: of more it is not known who was here.
const COUNTED = 100;

// How many characters differ, two that are turned round counted as one.
function difference(a, b) {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    rows.push([i]);
    for (let j = 1; j <= b.length; j++) {
      const other = a[i - 1] === b[j - 1] ? 0 : 1;
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + other);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.length][b.length];
}

// As assentctl has it.
export function namesLike(name, names) {
  const most = name.length < 5 ? 1 : 2;
  return names
    .filter((other) => other !== name && Math.abs(other.length - name.length) <= most)
    .map((other) => [difference(name.toLowerCase(), other.toLowerCase()), other])
    .filter(([far]) => far <= most)
    .sort(([a, one], [b, another]) => a - b || one.localeCompare(another))
    .slice(0, 3)
    .map(([, other]) => other);
}

// Of a service that waits for somebody. "": its name is that of one who was here since the start of
// the coordinator that answers, or nothing is known yet. Of several coordinators others may know more.
export function nobodyOf(service, pulse) {
  const known = Object.keys(pulse.now?.services || {});
  if (!pulse.now || known.includes(service)) return "";
  const alone = !pulse.server?.members?.length;
  const never = alone && known.length < COUNTED ? "nobody of this name was here since the start" : "";
  const like = namesLike(service, known);
  return [never, like.length ? `like: ${like.join(", ")}` : ""].filter(Boolean).join("; ");
}
