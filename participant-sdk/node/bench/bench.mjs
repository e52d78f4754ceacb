// What `tools/measure.sh languages` measures of Node: a participant that has nothing to do, and plain echo by its libraries.
//
//     bench.mjs session ENDPOINT     a participant of the service bench-0, which dials
//     bench.mjs unary LISTEN         the same, dialled
//     bench.mjs http LISTEN          the same behind node:http
//     bench.mjs echo LISTEN          gives each message back as it came, unary and over a stream, by grpc-js
//     bench.mjs http-echo LISTEN     a fixed body behind node:http

import { createServer } from "node:http";
import * as grpc from "@grpc/grpc-js";
import * as assent from "assent-sdk";

const [role, address] = process.argv.slice(2);
const ready = () => console.log("ready");
const done = () => undefined;
const service = () => new assent.Service("bench-0").tcc("act", { try: done, confirm: done, cancel: done });
process.on("SIGTERM", () => process.exit(0));

function serve(answer) {
  const server = createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      request.body = Buffer.concat(pieces);
      answer(request, response);
    });
  });
  server.keepAliveTimeout = 60_000;
  const [host, port] = address.split(":");
  server.listen(Number(port), host, 1024, ready);
}

const asItIs = (bytes) => bytes;
const method = (path, isStream) => ({
  path, requestStream: isStream, responseStream: isStream,
  requestSerialize: asItIs, requestDeserialize: asItIs, responseSerialize: asItIs, responseDeserialize: asItIs,
});

const roles = {
  async session() {
    const participant = await new assent.Participant(service(), { endpoints: address }).start();
    await participant.waitConnected();
    ready();
  },
  async unary() {
    await new assent.UnaryServer(service(), address).start();
    ready();
  },
  async http() {
    serve((await new assent.HttpEndpoint(service()).start()).handler());
  },
  async echo() {
    const server = new grpc.Server();
    server.addService(
      { Unary: method("/assent.bench.Echo/Unary", false), Stream: method("/assent.bench.Echo/Stream", true) },
      {
        Unary: (call, answer) => answer(null, call.request),
        Stream: (call) => {
          call.on("data", (message) => call.write(message));
          call.on("end", () => call.end());
        },
      });
    await new Promise((resolve, reject) => {
      server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve()));
    });
    ready();
  },
  async "http-echo"() {
    const body = '{"outcome":"COMMITTED"}';
    serve((request, response) => {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(body);
    });
  },
};

await roles[role]();
