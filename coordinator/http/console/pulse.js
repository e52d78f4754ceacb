// Whether the daemon is there, what it counts, and what it counted before: asked for as long as the
// page is open, whatever it shows.

import { get, lines, repeat, text } from "./api.js";
import { reading } from "./figures.js";

const EVERY_MS = 2000;
const KEPT = 900;

export class Pulse extends EventTarget {
  server = null; // GetServerInfo, the last that came
  readings = []; // of /metrics, oldest first
  failure = null; // why there is no newer one
  since = 0; // when that began
  checks = []; // of /readyz, while it is there and does not serve

  start() {
    this.again ??= repeat(EVERY_MS, () => this.#beat());
  }

  stop() {
    this.again?.end();
    this.again = null;
  }

  get now() {
    return this.readings[this.readings.length - 1];
  }

  // The youngest that is at least so old, or the oldest there is.
  before(ms) {
    const at = (this.now?.at || 0) - ms;
    return this.readings.findLast((one) => one.at <= at) || this.readings[0];
  }

  async #beat() {
    const was = this.failure;
    try {
      this.server = await get("/v1/server");
      const page = await text("/metrics");
      this.readings.push(reading(page, Date.now()));
      if (this.readings.length > KEPT) this.readings.shift();
      this.failure = null;
      this.checks = [];
    } catch (failure) {
      if (!was) this.since = Date.now();
      this.failure = failure;
      this.checks = failure.http === 503 ? await lines("/readyz?verbose") : [];
    }
    if (was && !this.failure) this.dispatchEvent(new Event("back"));
    this.dispatchEvent(new Event("beat"));
  }
}
