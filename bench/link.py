# SPDX-License-Identifier: Apache-2.0
"""A link with a delay, on loopback: whatever goes through it arrives that much later, in both directions, at any rate."""
import asyncio
import threading

PIECE = 64 << 10


class Link:
    """Listens on 127.0.0.1 and passes on to another port there. Opening a connection costs the delay as well."""

    def __init__(self, port, target, delay_s):
        self.port, self.target, self.delay_s = port, target, delay_s

    async def listen(self):
        return await asyncio.start_server(self._connected, "127.0.0.1", self.port, backlog=256)

    async def _connected(self, reader, writer):
        # The kernel has completed the handshake by itself, which over a real link takes a round trip.
        await asyncio.sleep(2 * self.delay_s)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader, writer):
        loop = asyncio.get_running_loop()
        queue = asyncio.Queue()
        sender = asyncio.create_task(self._send(queue, writer))
        try:
            while piece := await reader.read(PIECE):
                queue.put_nowait((loop.time() + self.delay_s, piece))
        except OSError:
            pass
        queue.put_nowait((loop.time() + self.delay_s, None))
        await sender

    async def _send(self, queue, writer):
        loop = asyncio.get_running_loop()
        try:
            while True:
                due, piece = await queue.get()
                await asyncio.sleep(max(0, due - loop.time()))
                if piece is None:
                    break
                writer.write(piece)
                await writer.drain()
            writer.write_eof()
        except OSError:
            pass


class Links:
    """Links that run in a thread until stop()."""

    def __init__(self, links):
        self.links = links
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()
        self.ready.wait()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.gather(*(link.listen() for link in self.links)))
        self.ready.set()
        self.loop.run_forever()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
