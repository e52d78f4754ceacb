// The client that assent-contract examines (docs/contract.md).

import * as assent from "assent-sdk";

const { ASSENT_CONTRACT_CALL: kind, ASSENT_CONTRACT_GIDS: gids, ASSENT_CONTRACT_GIVE_UP_MS: patience } = process.env;
if (kind !== "submit" && kind !== "interactive") process.exit(77);
const client = new assent.Client({ retry: { giveUpAfterMs: Number(patience) }, timeoutMs: Number(patience) + 5000 });

async function run(gid) {
  const order = new assent.Transaction({ gid, deadlineMs: 20_000 });
  const payload = JSON.stringify({ account: gid, amount: 1 });
  if (kind === "submit") return await client.submit(order.saga("contract", "add", payload));
  const open = await client.begin(order);
  await open.saga("contract", "add", payload, { id: "1" });
  return await open.commit();
}

function concluded(error) {
  if (error instanceof assent.Aborted) return "aborted";
  if (error instanceof assent.Unavailable) return "not-begun";
  const final = [assent.InvalidArgument, assent.AlreadyExists, assent.FailedPrecondition, assent.DataLoss];
  return final.some((kind) => error instanceof kind) ? "failed" : "unknown";
}

await Promise.all(gids.split(",").map(async (gid) => {
  let conclusion, detail;
  try {
    const report = await run(gid);
    conclusion = report.committed ? "committed" : report.aborted ? "aborted" : "unknown";
    detail = report.abortReason;
  } catch (error) {
    conclusion = concluded(error);
    detail = String(error);
  }
  console.log(JSON.stringify({ gid, conclusion, detail }));
}));
client.close();
