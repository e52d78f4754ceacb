// One action on all that a filter names: how many and which first, then progress, then a summary.

import { get, pathOf, post } from "./api.js";
import { ask, verbOf } from "./actions.js";
import { el } from "./dom.js";
import { asked, flags } from "./filters.js";
import { number, plural, quoted } from "./format.js";

const SAMPLE = 5;
// A browser has six connections, and the page goes on asking.
const AT_ONCE = 4;

// The gids of all that a filter names, and that had begun by then.
async function named(filter, begunBy) {
  const gids = [];
  for (let token = ""; token !== null;) {
    const page = await get("/v1/transactions", [
      ...filter,
      ["page_size", 1000],
      ...(token ? [["page_token", token]] : []),
    ]);
    gids.push(...page.transactions.filter((one) => Number(one.beganUnixMs) <= Number(begunBy)).map((one) => one.gid));
    token = page.nextPageToken || null;
  }
  return gids;
}

export async function askForMany(query, cause, name, done) {
  const verb = verbOf(name);
  const filter = new URLSearchParams(query);
  filter.set("cause", cause.key);
  // Counted now, and nothing that began later is acted on.
  const counted = await get("/v1/causes", asked(filter)).catch(() => null);
  const total = Number(counted?.total ?? cause.count);
  const sample = counted?.causes[0]?.gids || cause.gids;
  const begunBy = counted?.asOfUnixMs || String(Date.now());
  ask(
    {
      title: `${verb.title}: ${plural(total, "transaction")}`,
      word: `${verb.word} ${number(total)}`,
      grave: verb.grave,
      intro: [
        el("p", {}, `All with this cause: ${cause.sentence}`),
        el(
          "p",
          { class: "sample" },
          "For example ",
          sample.slice(0, SAMPLE).map((gid) => el("span", { class: "gid" }, `${gid} `)),
          total > SAMPLE ? `and ${number(total - Math.min(SAMPLE, sample.length))} more.` : "",
        ),
      ],
      look: async (_, who) =>
        `Of ${sample[0]}: ${(await post(`${pathOf(sample[0])}:${name}`, { action: { who, dryRun: true } })).effect}`,
      act: async (_, action, progress) => {
        const gids = await named(asked(filter), begunBy);
        const failures = [];
        let done = 0;
        const acting = async () => {
          for (let gid = gids.pop(); gid !== undefined; gid = gids.pop()) {
            try {
              await post(`${pathOf(gid)}:${name}`, { action });
            } catch (failure) {
              if (failure.away) throw failure;
              failures.push(`${gid}: ${failure.message}`);
            }
            progress([
              `${number(++done)} of ${number(all)}`,
              el("progress", { value: done, max: all, "aria-label": "Progress" }),
            ]);
          }
        };
        const all = gids.length;
        gids.reverse();
        try {
          await Promise.all(Array.from({ length: AT_ONCE }, acting));
        } finally {
          gids.length = 0;
        }
        const trouble = failures.length
          ? `; ${number(failures.length)} could not be: ${failures.slice(0, 3).join("; ")}`
          : "";
        return `${verb.word}: ${plural(all - failures.length, "transaction")} done${trouble}`;
      },
      commandOf: (_, who, reason) =>
        `assentctl ${name} ${flags(filter)} --all --who ${quoted(who)} --reason ${quoted(reason)}`,
    },
    done,
  );
}
