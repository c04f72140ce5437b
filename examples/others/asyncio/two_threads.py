#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The two threads of examples/two_threads.cpp, with asyncio: each has a loop."""

import asyncio
import collections
import sys
import threading

COUNTS = collections.Counter()  # for the counting thread only


async def count(word):
    COUNTS[word] += 1
    return COUNTS[word]


async def serve(reader, writer, counting):
    try:
        while line := await reader.readline():
            word = line.decode(errors="replace").rstrip("\r\n")
            asked = asyncio.run_coroutine_threadsafe(count(word), counting)
            async with asyncio.timeout(5):
                number = await asyncio.wrap_future(asked)
            writer.write(f"{word}: {number}\n".encode())
            await writer.drain()
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
    finally:
        writer.close()


async def main(host, port):
    counting = asyncio.new_event_loop()
    thread = threading.Thread(target=counting.run_forever)
    thread.start()
    try:
        server = await asyncio.start_server(
            lambda reader, writer: serve(reader, writer, counting), host, port
        )
        print("listening on %s:%d" % server.sockets[0].getsockname()[:2], flush=True)
        async with server:
            await server.serve_forever()
    finally:
        counting.call_soon_threadsafe(counting.stop)
        thread.join()
        counting.close()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1].rsplit(":", 1)))
    except KeyboardInterrupt:
        sys.exit(130)
