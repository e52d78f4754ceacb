// A CA for tests.

import { execFileSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { folder } from "./rig.mjs";

const openssl = (...words) => execFileSync("openssl", words, { stdio: ["ignore", "pipe", "pipe"] });

/** A CA in a folder of its own. */
export class Authority {
  constructor(t, name = "test-ca") {
    this.folder = folder(t);
    this.ca = this.path("ca.pem");
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", this.path("ca.key"), "-out", this.ca,
      "-days", "30", "-subj", `/CN=${name}`);
  }

  path(name) {
    return join(this.folder, name);
  }

  make(name) {
    const [cert, key, request, more] = ["pem", "key", "csr", "ext"].map((end) => this.path(`${name}.${end}`));
    writeFileSync(more, "subjectAltName=IP:127.0.0.1,DNS:coordinator.example\nextendedKeyUsage=serverAuth,clientAuth\n");
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj", `/CN=${name}`);
    openssl("x509", "-req", "-in", request, "-CA", this.ca, "-CAkey", this.path("ca.key"), "-CAcreateserial", "-days", "10", "-out", cert, "-extfile", more);
    chmodSync(key, 0o600);
    return { cert, key };
  }
}
