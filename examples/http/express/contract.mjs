// The ledger that assent-contract asks for (docs/contract.md), served as participant.mjs is:
//
//     assent-contract participant --http http://127.0.0.1:0/assent --protocols tcc,saga --start 'exec node contract.mjs'
import * as assent from "assent-sdk";
import express from "express";
import { service } from "../../../participant-sdk/node/example/contract/ledger.mjs";

const { ASSENT_CONTRACT_LISTEN, ASSENT_CONTRACT_PATH, ASSENT_CONTRACT_SECRET_FILE } = process.env;
const endpoint = await new assent.HttpEndpoint(service, { secretFile: ASSENT_CONTRACT_SECRET_FILE }).start();
const [host, port] = ASSENT_CONTRACT_LISTEN.split(":");
express()
  .post(ASSENT_CONTRACT_PATH, express.raw({ type: "application/json", limit: assent.MAX_BODY_BYTES }), endpoint.handler())
  .listen(Number(port), host);
