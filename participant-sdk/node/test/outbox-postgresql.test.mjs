import { testOutbox } from "./outbox-checks.mjs";
import { InPostgreSQL } from "./outbox-rig.mjs";

testOutbox(new InPostgreSQL());
