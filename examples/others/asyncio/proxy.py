#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The proxy of examples/proxy.cpp, with asyncio."""

import asyncio
import socket
import struct
import sys


async def copy(reader, writer):
    while data := await reader.read(16384):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def reset(writer):
    """Without the option, abort() would look like the end of the stream to the peer."""
    if not writer.is_closing():
        no_linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
    writer.transport.abort()


async def serve(client_reader, client_writer, target):
    server_writer = None
    try:
        async with asyncio.timeout(5):
            server_reader, server_writer = await asyncio.open_connection(*target)
        async with asyncio.TaskGroup() as directions:
            directions.create_task(copy(client_reader, server_writer))
            directions.create_task(copy(server_reader, client_writer))
    except* OSError as errors:  # TimeoutError is one
        print(*errors.exceptions, file=sys.stderr)
        reset(client_writer)
        if server_writer:
            reset(server_writer)
    finally:
        client_writer.close()
        if server_writer:
            server_writer.close()


async def main(where, target):
    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, target.rsplit(":", 1)), *where.rsplit(":", 1)
    )
    print("listening on %s:%d" % server.sockets[0].getsockname()[:2], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
