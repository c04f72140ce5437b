#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The key-value server of examples/key_value_server.cpp, with asyncio."""

import asyncio
import sys

LINE_MAX = 4096
IDLE_MAX = 300
WRITE_MAX = 30


def answer(line, values):
    verb, _, rest = line.partition(" ")
    key, _, value = rest.partition(" ")
    if verb == "SET" and key:
        values[key] = value
        return "OK"
    if verb == "GET" and key and not value:
        return f"VALUE {values[key]}" if key in values else "NONE"
    if verb == "DEL" and key and not value:
        return "OK" if values.pop(key, None) is not None else "NONE"
    return "ERROR unknown command"


async def serve(reader, writer, values):
    try:
        while True:
            async with asyncio.timeout(IDLE_MAX):
                line = await reader.readline()
            if not line:
                return
            reply = answer(line.decode(errors="replace").rstrip("\r\n"), values)
            writer.write(f"{reply}\n".encode())
            async with asyncio.timeout(WRITE_MAX):
                await writer.drain()
    except ValueError:  # the line is longer than the limit; what follows it has no beginning
        writer.write(b"ERROR line too long\n")
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()


async def main(host, port):
    values = {}
    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, values), host, port, limit=LINE_MAX
    )
    print("listening on %s:%d" % server.sockets[0].getsockname()[:2], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1].rsplit(":", 1)))
    except KeyboardInterrupt:
        sys.exit(130)
