// Makes dist/assent.json, the messages of the wire contract, from ../../proto. The package reads it when it is loaded.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const protos = join(here, "..", "..", "proto");
const root = new protobuf.Root();
root.resolvePath = (_, target) => join(protos, target);
root.loadSync(["participant", "transaction", "cluster"].map((name) => `assent/v1/${name}.proto`));
root.resolveAll();
mkdirSync(join(here, "dist"), { recursive: true });
writeFileSync(join(here, "dist", "assent.json"), JSON.stringify(root.toJSON()));
