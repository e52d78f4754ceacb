// How coordinators are dialled: endpoints, TLS, tokens, gRPC's options. For clients and participants.

import { readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";
import * as grpc from "@grpc/grpc-js";
import { ConfigError, sentenceOf } from "./errors.js";
import { shown } from "./transaction.js";
import { MAX_FRAME_BYTES } from "./words.js";

const DEFAULT_ENDPOINT = "127.0.0.1:7400";
const SCHEMES = ["unix:", "dns:", "ipv4:", "ipv6:"];
const MAX_MESSAGE_BYTES = 2 * MAX_FRAME_BYTES; // a transaction in full is larger than a frame
const MAX_TOKEN_BYTES = 16 * 1024;
const MAX_FILE_BYTES = 1024 * 1024;

/**
 * Files in PEM; one that has changed counts for connections from then on. None of them: the environment variables ASSENT_TLS_CA,
 * ASSENT_TLS_CERT, ASSENT_TLS_KEY and ASSENT_TLS_SERVER_NAME; without those there is no TLS.
 */
export interface Tls {
  /** The CAs that sign the coordinators' certificates. */
  readonly caFile?: string;
  /** What is shown to the coordinator, and its key: both, or neither. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** What has to be in the coordinators' certificates; empty: the host of the endpoint. */
  readonly serverName?: string;
}

/**
 * Who asks, where the coordinator has rules: the secret itself, or a file with it, read again for each call (so that it can be
 * renewed). No option: the environment variables ASSENT_TOKEN, ASSENT_TOKEN_FILE and ASSENT_TOKEN_OVER_PLAIN (1: yes); without those no
 * token is shown.
 */
export interface Token {
  readonly secret?: string;
  readonly file?: string;
  /** A token is not sent over a network without TLS, where anybody may read it; `true` sends it all the same. */
  readonly overPlain?: boolean;
}

export interface DialOptions {
  /** "host:port", or several that share one log. Not given: ASSENT_ENDPOINT, or 127.0.0.1:7400. */
  readonly endpoints?: string | readonly string[];
  readonly tls?: Tls;
  readonly token?: Token;
  /** A silent connection is probed this often, and given up soon after; 0: never. 20 s. */
  readonly keepaliveMs?: number;
}

export function readSettingsFile(what: string, path: string, limit = MAX_FILE_BYTES): Buffer {
  let data: Buffer;
  try {
    if (statSync(path).size > limit) throw new Error(`it has more than ${limit} bytes`);
    data = readFileSync(path);
  } catch (error) {
    throw new ConfigError(`the file of ${what}, ${path}, cannot be read: ${(error as Error).message}`, { cause: error });
  }
  return data;
}

/** As they were given ("host:port", several separated by commas, or an array), or ASSENT_ENDPOINT, or 127.0.0.1:7400. */
export function endpointsOf(given: string | readonly string[] | undefined): string[] {
  const listed = given ?? process.env.ASSENT_ENDPOINT ?? "";
  const words = (typeof listed === "string" ? listed.split(",") : listed).map((word) => word.trim()).filter(Boolean);
  const endpoints = [...new Set(words)];
  if (endpoints.length === 0) endpoints.push(DEFAULT_ENDPOINT);
  endpoints.forEach(checkEndpoint);
  return endpoints;
}

export function checkEndpoint(endpoint: string): void {
  const wanted = `it must be "host:port", such as "${DEFAULT_ENDPOINT}"`;
  if (SCHEMES.some((scheme) => endpoint.startsWith(scheme))) return;
  if (endpoint.includes("://")) throw new ConfigError(`endpoint ${shown(endpoint)} is a URL; ${wanted}`);
  const [host, port] = split(endpoint);
  if (!/^[0-9]{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65535) {
    throw new ConfigError(`endpoint ${shown(endpoint)} has no port from 1 to 65535; ${wanted}`);
  }
  if (!/^(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]+)$/.test(host)) throw new ConfigError(`endpoint ${shown(endpoint)} does not begin with a host; ${wanted}`);
}

function split(endpoint: string): [host: string, port: string] {
  const colon = endpoint.lastIndexOf(":");
  return colon < 0 || endpoint.endsWith("]") ? [endpoint, ""] : [endpoint.slice(0, colon), endpoint.slice(colon + 1)];
}

/** It does not leave this machine. */
export function isNear(endpoint: string): boolean {
  if (endpoint.startsWith("unix:")) return true;
  const scheme = SCHEMES.find((one) => endpoint.startsWith(one));
  const host = split(scheme ? endpoint.slice(scheme.length) : endpoint)[0].replace(/^\[|\]$/g, "");
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** What connections of one client or participant have in common. Wrong files are a ConfigError when it is made. */
export class Dialling {
  readonly tls: Tls;
  readonly #token: Token;
  readonly #keepaliveMs: number;
  #lastSecret = "";

  /** `endpoints`: those that are to be dialled for certain. */
  constructor(options: DialOptions, endpoints: readonly string[] = []) {
    const { env } = process;
    this.tls = isWanted(options.tls)
      ? options.tls!
      : { caFile: env.ASSENT_TLS_CA, certFile: env.ASSENT_TLS_CERT, keyFile: env.ASSENT_TLS_KEY, serverName: env.ASSENT_TLS_SERVER_NAME };
    this.#token = options.token ?? { secret: env.ASSENT_TOKEN, file: env.ASSENT_TOKEN_FILE, overPlain: env.ASSENT_TOKEN_OVER_PLAIN === "1" };
    this.#keepaliveMs = options.keepaliveMs ?? 20_000;
    if (isWanted(this.tls) && !this.tls.caFile) throw new ConfigError("TLS needs the CAs that are believed: tls.caFile, or ASSENT_TLS_CA");
    if (Boolean(this.tls.certFile) !== Boolean(this.tls.keyFile)) {
      throw new ConfigError("a certificate needs its key, and a key its certificate: certFile and keyFile (ASSENT_TLS_CERT, ASSENT_TLS_KEY)");
    }
    if (isWanted(this.tls)) this.#credentials();
    this.#lastSecret = this.#secret();
    for (const endpoint of endpoints) this.metadata(endpoint);
  }

  #credentials(): grpc.ChannelCredentials {
    const ca = readSettingsFile("CAs", this.tls.caFile!);
    if (!ca.includes("-----BEGIN")) throw new ConfigError(`the file of CAs, ${this.tls.caFile}, has no certificate in PEM`);
    const key = this.tls.keyFile ? readSettingsFile("the key", this.tls.keyFile) : null;
    const cert = this.tls.certFile ? readSettingsFile("the certificate", this.tls.certFile) : null;
    try {
      return grpc.credentials.createSsl(ca, key, cert);
    } catch (error) {
      throw new ConfigError(`the files of TLS cannot be used: ${sentenceOf(error)}`, { cause: error });
    }
  }

  #secret(): string {
    let secret = this.#token.secret ?? "";
    if (this.#token.file) {
      secret = readSettingsFile("the token", this.#token.file, MAX_TOKEN_BYTES).toString("utf8").trim();
      if (!secret) throw new ConfigError(`the file of the token, ${this.#token.file}, is empty`);
    }
    if (secret && !/^[\x21-\x7e]+$/.test(secret)) throw new ConfigError("the token has blanks, or what is not ASCII, in it; a token is one word");
    return secret;
  }

  /** While a file cannot be read the last token counts. */
  #secretNow(): string {
    try {
      this.#lastSecret = this.#secret();
    } catch (error) {
      if (!this.#lastSecret) throw error;
    }
    return this.#lastSecret;
  }

  isSecure(endpoint: string): boolean {
    return isWanted(this.tls) && !endpoint.startsWith("unix:");
  }

  /** Another one, when a file has changed: connections from then on are to be made anew. */
  stamp(): string {
    return [this.tls.caFile, this.tls.certFile, this.tls.keyFile].map((path) => {
      const found = path ? statSync(path, { bigint: true, throwIfNoEntry: false }) : undefined;
      return found ? `${found.mtimeNs}/${found.ino}` : "";
    }).join();
  }

  /** Goes along with each call. */
  metadata(endpoint: string): grpc.Metadata {
    const metadata = new grpc.Metadata();
    const secret = this.#secretNow();
    if (!secret) return metadata;
    if (!this.isSecure(endpoint) && !isNear(endpoint) && !this.#token.overPlain) {
      throw new ConfigError(`a token is not sent to ${endpoint} without TLS, where anybody on the way may read it: set ASSENT_TLS_CA (or tls), ` +
        "or overPlain of the token (ASSENT_TOKEN_OVER_PLAIN=1) if the network is yours alone");
    }
    metadata.set("authorization", `Bearer ${secret}`);
    return metadata;
  }

  /** A connection of its own. It is dialled with its first call. */
  connect(endpoint: string): grpc.Client {
    const secure = this.isSecure(endpoint);
    const options: grpc.ChannelOptions = {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_http_proxy": 0, // never through a web proxy that happens to be in the environment
      // gRPC's own waits between attempts to connect would hide a daemon that is back already.
      "grpc.initial_reconnect_backoff_ms": 20,
      "grpc.max_reconnect_backoff_ms": 1000,
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
      "grpc.enable_retries": 0, // ours know what is idempotent
    };
    if (this.#keepaliveMs > 0) {
      options["grpc.keepalive_time_ms"] = this.#keepaliveMs;
      options["grpc.keepalive_timeout_ms"] = Math.min(this.#keepaliveMs, 10_000);
    }
    if (secure && this.tls.serverName) {
      options["grpc.ssl_target_name_override"] = this.tls.serverName;
      options["grpc.default_authority"] = this.tls.serverName;
    }
    return new grpc.Client(endpoint, secure ? this.#credentials() : grpc.credentials.createInsecure(), options);
  }
}

function isWanted(tls: Tls | undefined): boolean {
  return Boolean(tls && (tls.caFile || tls.certFile || tls.keyFile || tls.serverName));
}
