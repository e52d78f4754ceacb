"""A proxy in front of PostgreSQL that a test aims: it passes messages, holds them where it was told to, and then passes them on,
drops them, or lets them arrive when nobody waits for them any more.

    with Proxy(server.port) as proxy:
        trap = proxy.hold(frontend("S"))    # before the next Sync that a client sends
        ...                                 # a client connects to proxy.port, and sends a group
        link = trap.wait()                  # it has sent all but the Sync; the server waits for that
        link.lose_client()                  # the client sees its connection end ...
        link.release()                      # ... and only now the server gets the rest

Random deaths do not find what a late message does: this does. What is held stands in the way of all that comes behind it in
its direction; the other direction goes on. A trap is sprung once.

All of it runs in one thread of its own (asyncio); the methods may be called from any other.
"""

import asyncio
import collections
import struct
import threading

import pgwire

FRONTEND, BACKEND = "frontend", "backend"
CHUNK_BYTES = 1 << 16
WAIT_S = 30

# `since_sync`: so many messages stand between it and the Sync before it.
Message = collections.namedtuple("Message", "side kind raw since_sync")


def frontend(kinds, containing=b"", since_sync=None):
    """What a client sends: any of these types (all of them: ""), with these bytes in it, as the nth after a Sync."""
    return _is(FRONTEND, kinds, containing, since_sync)


def backend(kinds, containing=b""):
    return _is(BACKEND, kinds, containing, None)


def _is(side, kinds, containing, since_sync):
    kinds = kinds.encode()

    def matches(message):
        return (message.side == side and (not kinds or message.kind in kinds) and containing in message.raw and
                since_sync in (None, message.since_sync))
    return matches


class Trap:
    """`inside`: so many bytes of the message that it is meant for are let through; 0: none."""

    def __init__(self, matches, link, inside, keep):
        self.matches, self.link, self.inside, self.keep = matches, link, inside, keep
        self.sprung, self.caught = threading.Event(), None

    def wait(self, timeout=WAIT_S):
        if not self.sprung.wait(timeout):
            raise TimeoutError("nobody has walked into the trap")
        return self.caught


class _Stream:
    """One direction of a link: reads and cuts into messages; writes, later, what is not held."""

    def __init__(self, link, side, reader, writer):
        self.link, self.side, self.reader, self.writer = link, side, reader, writer
        self.buffer, self.started, self.opaque, self.since_sync = b"", side == BACKEND, link.proxy.opaque, 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.queue = asyncio.Queue(maxsize=64)

    async def read(self):
        try:
            while chunk := await self.reader.read(CHUNK_BYTES):
                await self.queue.put((asyncio.get_running_loop().time() + self.link.proxy.delay_s, chunk))
        except OSError:
            pass
        await self.queue.put((0, b""))

    async def write(self):
        """Until the end of what is read; the end is passed on behind all that was held."""
        while True:
            due, chunk = await self.queue.get()
            if not chunk:
                break
            if (wait := due - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
            self.buffer += chunk
            passed = []
            for message in self._messages():
                trap = self.link.proxy.trap_for(self.link, message)
                if trap is None:
                    passed.append(message.raw)
                else:
                    await self._send(b"".join(passed) + message.raw[:trap.inside])
                    passed = [message.raw[trap.inside:]]
                    self.gate.clear()
                    trap.caught = self.link
                    trap.sprung.set()
            await self._send(b"".join(passed))
        await self.gate.wait()
        self.writer.close()

    def _messages(self):
        if self.opaque:
            yield Message(self.side, b"", self._take(len(self.buffer)), 0)
            return
        if self.link.one_byte_due and self.side == BACKEND and self.buffer:
            self.link.one_byte_due = False  # the server's word about TLS
            self.opaque = self.link.streams[FRONTEND].opaque = self.buffer[:1] == b"S"
            yield Message(self.side, b"", self._take(1), 0)
        while not self.started and len(self.buffer) >= 8:
            size, code = struct.unpack("!ii", self.buffer[:8])
            if len(self.buffer) < size:
                return
            self.link.one_byte_due = code in (pgwire.SSL_REQUEST, pgwire.GSS_REQUEST)
            self.started = not self.link.one_byte_due
            raw = self._take(size)
            if self.started:
                self.link.read_startup(raw)
            yield Message(self.side, b"", raw, 0)
        if not self.started:
            return
        found, used = pgwire.split(self.buffer)
        self._take(used)
        for kind, raw in found:
            yield Message(self.side, kind, raw, self.since_sync)
            self.since_sync = 0 if kind in (b"S", b"Q") else self.since_sync + 1

    def _take(self, size):
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    async def _send(self, raw):
        await self.gate.wait()
        if not raw or self.writer.is_closing():
            return
        self.writer.write(raw)
        try:
            await self.writer.drain()
        except OSError:
            pass


class Link:
    """One client's connection, and the one to the server that was made for it."""

    def __init__(self, proxy, number):
        self.proxy, self.number, self.streams = proxy, number, {}
        self.startup, self.one_byte_due = {}, False

    def read_startup(self, raw):
        words = raw[8:].split(b"\0")
        self.startup = {words[i].decode(): words[i + 1].decode() for i in range(0, len(words) - 1, 2) if words[i]}

    def release(self):
        """What is held goes on, and the end of the connection behind it, if its client has been lost."""
        self.proxy.run(self._release)

    def lose_client(self):
        """The client's connection is reset; the server hears of that, and of what is held for it, when it is released."""
        self.proxy.run(self._lose_client)

    def cut(self):
        """Both are reset, and what is held is gone."""
        self.proxy.run(self._cut)

    def _hold(self, side):
        self.streams[side].gate.clear()

    def _release(self):
        for stream in self.streams.values():
            stream.gate.set()

    def _lose_client(self):
        self.streams[FRONTEND].gate.clear()
        self.streams[BACKEND].writer.transport.abort()

    def _cut(self):
        for stream in self.streams.values():
            stream.writer.transport.abort()
            stream.gate.set()


class Proxy:
    """`opaque`: in front of something else than PostgreSQL, whose messages are bytes."""

    def __init__(self, server_port, port=0, opaque=False):
        self.server_port, self.port, self.opaque = server_port, port, opaque
        self.delay_s = 0.0     # of everything, in each direction
        self.refusing = False  # newcomers
        self.holding = None    # the side of which nothing more comes through, newcomers' included
        self.links, self.count = {}, 0
        self._traps, self._mutex = [], threading.Lock()
        self._tasks = set()
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def __enter__(self):
        self._thread.start()
        if not self._up.wait(WAIT_S):
            raise RuntimeError("the proxy does not start")
        return self

    def __exit__(self, *_):
        if not self._up.is_set():
            return  # never begun
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT_S)

    def run(self, what):
        done = threading.Event()

        def act():
            what()
            done.set()
        self._loop.call_soon_threadsafe(act)
        if not done.wait(WAIT_S):
            raise TimeoutError("the proxy does not answer")

    def hold(self, matches, link=None, inside=0, keep=lambda link: True):
        """Before (or `inside`) the next message of which `matches` is true; on that link, or on any of which `keep` is."""
        trap = Trap(matches, link, inside, keep)
        with self._mutex:
            self._traps.append(trap)
        return trap

    def heal(self):
        """No traps, no delay, nothing held; who has lost his client goes."""
        with self._mutex:
            self._traps.clear()
        self.delay_s, self.refusing, self.holding = 0.0, False, None
        self.run(lambda: [link._release() for link in self.links.values()])

    def hold_all(self, side):
        """From now on; until heal()."""
        self.holding = side
        self.run(lambda: [link._hold(side) for link in self.links.values()])

    def cut_all(self):
        self.run(lambda: [link._cut() for link in self.links.values()])

    def turn_to(self, server_port):
        """Another server from now on; whoever is connected loses his connection."""
        self.server_port, self.holding = server_port, None
        self.cut_all()

    def disarm(self, trap):
        with self._mutex:
            if trap in self._traps:
                self._traps.remove(trap)

    def trap_for(self, link, message):
        if not self._traps:
            return None
        with self._mutex:
            for trap in self._traps:
                if trap.link in (None, link) and trap.matches(message) and trap.keep(link):
                    self._traps.remove(trap)
                    return trap
        return None

    def _main(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self):
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._stop.wait()
        server.close()
        for link in list(self.links.values()):
            link._cut()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=WAIT_S)

    async def _accept(self, from_client, to_client):
        self._tasks.add(asyncio.current_task())
        try:
            await self._carry(from_client, to_client)
        finally:
            self._tasks.discard(asyncio.current_task())

    async def _carry(self, from_client, to_client):
        if self.refusing:
            to_client.transport.abort()
            return
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            to_client.transport.abort()
            return
        self.count += 1
        link = Link(self, self.count)
        link.streams = {FRONTEND: _Stream(link, FRONTEND, from_client, to_server),
                        BACKEND: _Stream(link, BACKEND, from_server, to_client)}
        self.links[link.number] = link
        if self.holding:
            link._hold(self.holding)
        try:
            await asyncio.gather(*(work() for stream in link.streams.values() for work in (stream.read, stream.write)))
        finally:
            del self.links[link.number]
            link._cut()
