// /metrics as figures over time, of which the plots are drawn and error rates are reckoned.

// [{name, labels, value}] of Prometheus' text.
export function parse(page) {
  const samples = [];
  for (const line of page.split("\n")) {
    const found = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[name] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    }
    samples.push({ name: found[1], labels, value: found[3] === "+Inf" ? Infinity : Number(found[3]) });
  }
  return samples;
}

const STATES = ["active", "committing", "aborting"];

// What is kept of one page.
export function reading(page, at) {
  const kept = { at, inFlight: {}, oldest: {}, buckets: {}, decided: {}, services: {}, begun: 0, needs: 0 };
  const service = (labels) => (kept.services[labels.service] ||= { calls: {}, inFlight: 0, queued: 0, retries: 0 });
  const take = {
    assent_transactions_begun_total: (_, value) => (kept.begun = value),
    assent_transactions_needing_operator: (_, value) => (kept.needs = value),
    assent_transactions_decided_total: (labels, value) => (kept.decided[labels.decision] = value),
    assent_transactions_in_flight: (labels, value) => (kept.inFlight[labels.state] = value),
    assent_transactions_oldest_age_seconds: (labels, value) => (kept.oldest[labels.state] = value),
    assent_transaction_decision_seconds_bucket: (labels, value) => (kept.buckets[labels.le] = value),
    assent_participant_calls_total: (labels, value) => {
      const calls = service(labels).calls;
      calls[labels.result] = (calls[labels.result] || 0) + value;
    },
    assent_participant_commands_in_flight: (labels, value) => (service(labels).inFlight = value),
    assent_participant_commands_queued: (labels, value) => (service(labels).queued = value),
    assent_participant_retries_total: (labels, value) => (service(labels).retries = value),
  };
  for (const { name, labels, value } of parse(page)) take[name]?.(labels, value);
  return kept;
}

// By how much a counter rises in a second; null where a daemon has started anew.
export function rate(before, now, of) {
  if (!before) return null;
  const risen = (of(now) || 0) - (of(before) || 0);
  const seconds = (now.at - before.at) / 1000;
  return risen < 0 || seconds <= 0 ? null : risen / seconds;
}

// In seconds, of what was counted between the two; null: nothing was.
export function quantile(before, now, share) {
  const buckets = Object.entries(now.buckets)
    .map(([le, count]) => [le === "+Inf" ? Infinity : Number(le), count - (before?.buckets[le] || 0)])
    .sort(([a], [b]) => a - b);
  const all = buckets.length ? buckets[buckets.length - 1][1] : 0;
  if (!before || all <= 0) return null;
  let [low, below] = [0, 0];
  for (const [le, count] of buckets) {
    if (count >= share * all) {
      return le === Infinity ? low : low + ((le - low) * (share * all - below)) / Math.max(1, count - below);
    }
    [low, below] = [le, count];
  }
  return low;
}

// {done, failed, calls a second} of a service between two readings. A refusal is an answer; what
// failed is what had none, or had to be asked again.
export function callsOf(before, now, service) {
  const count = (at, results) => results.reduce((sum, result) => sum + (at?.services[service]?.calls[result] || 0), 0);
  const results = Object.keys(now?.services[service]?.calls || {});
  const failing = results.filter((result) => ["unknown", "retry_later", "not_sent"].includes(result));
  const risen = (which) => Math.max(0, count(now, which) - count(before, which));
  return { all: risen(results), failed: risen(failing), refused: risen(results.filter((one) => one === "refused")) };
}

export { STATES };
