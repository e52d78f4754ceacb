// The ledger over gRPC: dialled, if it is told where to serve; else it dials.

import * as assent from "assent-sdk";
import { end, service } from "./ledger.mjs";

const { ASSENT_CONTRACT_LISTEN } = process.env;
if (ASSENT_CONTRACT_LISTEN) await new assent.UnaryServer(service, ASSENT_CONTRACT_LISTEN).run();
else await new assent.Participant(service, { questionIntervalMs: 500, log: (line) => console.log(line) }).run();
await end();
