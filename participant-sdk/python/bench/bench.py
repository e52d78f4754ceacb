#!/usr/bin/python3
"""What `tools/measure.sh languages` measures of Python: a participant that has nothing to do, and plain echo by its libraries.

    bench.py session ENDPOINT     a participant of the service bench-0, which dials (threads)
    bench.py unary LISTEN         the same, dialled
    bench.py http LISTEN          the same behind Python's own http.server
    bench.py echo LISTEN          gives each message back as it came, unary and over a stream, by grpcio
    bench.py http-echo LISTEN     a fixed body behind http.server

aio-session, aio-unary and aio-echo are the first three with asyncio.
"""

import asyncio
import concurrent.futures
import http.server
import signal
import sys
import threading

import assent
import assent.aio
import assent.http
import grpc
import grpc.aio

THREADS = 16  # of a server's, as assent.UnaryServer has them


def ready():
    print("ready", flush=True)


def serve_until_told():
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ready()
    ended.wait()


async def serve_until_told_async():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    ready()
    await ended.wait()


def service():
    bench = assent.Service("bench-0")
    action = bench.tcc("act")(lambda call: None)
    action.confirm(lambda call: None)
    action.cancel(lambda call: None)
    return bench


def service_async():
    async def done(call):
        return None

    bench = assent.Service("bench-0")
    action = bench.tcc("act")(done)
    action.confirm(done)
    action.cancel(done)
    return bench


# ---- participants


def session(endpoint):
    with assent.Participant(service(), endpoint) as participant:
        participant.wait_connected()
        serve_until_told()


def unary(listen):
    with assent.UnaryServer(service(), listen, workers=THREADS):
        serve_until_told()


async def aio_session(endpoint):
    async with assent.aio.Participant(service_async(), endpoint) as participant:
        await participant.wait_connected()
        await serve_until_told_async()


async def aio_unary(listen):
    async with assent.aio.UnaryServer(service_async(), listen):
        await serve_until_told_async()


def http_participant(listen):
    endpoint = assent.http.Endpoint(service(), workers=THREADS)
    serve_http(listen, endpoint.answer)


# ---- echo


def handlers(unary_handler, stream_handler):
    """Of bytes that nobody looks into."""
    return (grpc.method_handlers_generic_handler("assent.bench.Echo", {
        "Unary": grpc.unary_unary_rpc_method_handler(unary_handler),
        "Stream": grpc.stream_stream_rpc_method_handler(stream_handler)}),)


def echo(listen):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(THREADS))
    server.add_generic_rpc_handlers(handlers(lambda message, context: message, lambda messages, context: messages))
    server.add_insecure_port(listen)
    server.start()
    serve_until_told()
    server.stop(0).wait()


async def aio_echo(listen):
    async def one(message, context):
        return message

    async def many(messages, context):
        async for message in messages:
            yield message

    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers(one, many))
    server.add_insecure_port(listen)
    await server.start()
    await serve_until_told_async()
    await server.stop(0)


def http_echo(listen):
    serve_http(listen, lambda body, headers: (b'{"outcome":"COMMITTED"}', 200, {"Content-Type": "application/json"}))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # all callers come at once


def serve_http(listen, answer):
    """A thread for each connection, which is kept."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one write

        def do_POST(self):
            body, code, headers = answer(self.rfile.read(int(self.headers["Content-Length"])), self.headers)
            self.send_response_only(code)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    host, port = listen.split(":")
    server = Server((host, int(port)), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    serve_until_told()


ROLES = {"session": session, "unary": unary, "http": http_participant, "aio-session": aio_session, "aio-unary": aio_unary,
         "echo": echo, "aio-echo": aio_echo, "http-echo": http_echo}


def main():
    name, address = sys.argv[1:]
    if name.startswith("aio-"):
        asyncio.run(ROLES[name](address))
    else:
        ROLES[name](address)


if __name__ == "__main__":
    main()
