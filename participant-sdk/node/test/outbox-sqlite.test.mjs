import { testOutbox } from "./outbox-checks.mjs";
import { InSQLite } from "./outbox-rig.mjs";

testOutbox(new InSQLite());
