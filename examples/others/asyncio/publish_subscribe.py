#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The server of examples/publish_subscribe.cpp, with asyncio."""

import asyncio
import sys

BEHIND_MAX = 1024
BATCH_MAX = 64 * 1024


class Subscriber:
    def __init__(self):
        self.lines = asyncio.Queue(BEHIND_MAX)
        self.missed = 0

    def take(self, line):
        if self.lines.full():
            self.lines.get_nowait()
            self.missed += 1
        self.lines.put_nowait(line)


async def publish(reader, subscribers):
    while line := await reader.readline():
        for subscriber in subscribers:
            subscriber.take(line)
        await asyncio.sleep(0)  # readline() lets no other task run while it has lines


async def send_lines(writer, subscriber, stalled_max):
    told = 0
    while True:
        text = await subscriber.lines.get()
        if subscriber.missed != told:
            text = b"(%d lines missed)\n" % (subscriber.missed - told) + text
            told = subscriber.missed
        while not subscriber.lines.empty() and len(text) < BATCH_MAX:
            text += subscriber.lines.get_nowait()
        writer.write(text)
        async with asyncio.timeout(stalled_max):
            await writer.drain()


async def wait_for_end(reader, sender):
    while await reader.read(1024):
        pass
    sender.cancel()


async def subscribe(reader, writer, subscribers, stalled_max):
    subscriber = Subscriber()
    subscribers.add(subscriber)
    try:
        writer.transport.set_write_buffer_limits(high=0)  # drain() waits until all is sent
        async with asyncio.TaskGroup() as both:
            sender = both.create_task(send_lines(writer, subscriber, stalled_max))
            both.create_task(wait_for_end(reader, sender))
    finally:
        subscribers.remove(subscriber)


async def serve(reader, writer, subscribers, stalled_max):
    try:
        role = await reader.readline()
        if role.rstrip() == b"PUBLISH":
            await publish(reader, subscribers)
        elif role.rstrip() == b"SUBSCRIBE":
            await subscribe(reader, writer, subscribers, stalled_max)
        else:
            writer.write(b"PUBLISH or SUBSCRIBE?\n")
    except* (OSError, ValueError) as errors:
        print(*errors.exceptions, file=sys.stderr)
        writer.transport.abort()
    finally:
        writer.close()


async def main(where, seconds):
    subscribers = set()
    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, subscribers, int(seconds)),
        *where.rsplit(":", 1),
    )
    print("listening on %s:%d" % server.sockets[0].getsockname()[:2], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
