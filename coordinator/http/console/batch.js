// One action on all that a filter names: how many and which first, then progress, then a summary.

import { get, pathOf, post } from "./api.js";
import { ask, verbOf } from "./actions.js";
import { el } from "./dom.js";
import { asked, flags, which } from "./filters.js";
import { number, plural, quoted } from "./format.js";

const SAMPLE = 5;

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
        let [acted, failed, failures] = [0, 0, []];
        for (let token = ""; ;) {
          const reply = await post("/v1/transactions:act", {
            verb: `BATCH_${name.toUpperCase()}`,
            which: which(filter),
            action,
            begunByUnixMs: begunBy,
            pageToken: token,
          });
          acted += Number(reply.done);
          failed += Number(reply.failed);
          failures = [...failures, ...reply.failures].slice(0, 3);
          progress([
            `${number(acted + failed)} of ${number(total)}`,
            el("progress", { value: acted + failed, max: Math.max(1, total), "aria-label": "Progress" }),
          ]);
          token = reply.nextPageToken;
          if (!token) break;
        }
        const trouble = failed
          ? `; ${number(failed)} could not be: ${failures.map((one) => `${one.gid}: ${one.message}`).join("; ")}`
          : "";
        return `${verb.word}: ${plural(acted, "transaction")} done${trouble}`;
      },
      commandOf: (_, who, reason) =>
        `assentctl ${name} ${flags(filter)} --all --who ${quoted(who)} --reason ${quoted(reason)}`,
    },
    done,
  );
}
