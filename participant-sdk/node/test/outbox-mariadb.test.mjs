import { testOutbox } from "./outbox-checks.mjs";
import { InMariaDB } from "./outbox-rig.mjs";

testOutbox(new InMariaDB());
