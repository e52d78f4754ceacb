// Why a call found no coordinator, or was not let in: what gRPC says of it, in one line for people. Its own words are those of OpenSSL and
// of the kernel; proto/tls says the same for C++.

import { oneLine } from "./words.js";

export const NO_ANSWER = "no answer in time; is assentd running there?";
const NO_GRPC = "no gRPC at that address; does it want TLS, or is it another port?";
export const WHY_PATIENCE_MS = 1000; // of a call that is made to be told the cause

// So gRPC begins when it had no connection. What a coordinator says is never changed.
const UNCONNECTED = /^(No connection established|Name resolution failed)/;

const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, "connection refused; is assentd running there?"],
  [/ENOENT/, "there is no such socket; is assentd running there?"],
  [/wrong version number/, "there is no TLS at that address"],
  [/Protocol error/, NO_GRPC],
  [/ALTNAME_INVALID/, "the certificate there is not one for the name that was dialled"],
  [/certificate/, "the certificate there is not signed by the CA that was given, or not valid now"],
  [/^Name resolution failed/, "there is no host of that name"],
];
const HANGS_UP = /Failed to connect|ECONNRESET|EPIPE|socket hang up/;

/** How a call ended. `secure`: it was to go over TLS. */
export function whyFailed(code: string, details: string, secure: boolean): string {
  return oneLine(`${code}: ${code === "UNAVAILABLE" ? whyUnavailable(details, secure) : details}`);
}

export function whyUnavailable(details: string, secure: boolean): string {
  if (!UNCONNECTED.test(details)) return details;
  const meaning = MEANINGS.find(([words]) => words.test(details))?.[1];
  if (meaning !== undefined) return meaning;
  if (HANGS_UP.test(details)) {
    // TLS 1.3 tells of a certificate that is wanted, or not taken, when the client has done its part.
    return secure ? "the connection is closed as soon as it is made; does it want a certificate, and not the one, if any, that this side shows?" : NO_GRPC;
  }
  const cause = /Last error: (?:Error: )?(.*?)\.? Resolution note/s.exec(details)?.[1] ?? details;
  return `${cause}; is assentd running there?`;
}
