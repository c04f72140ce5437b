#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The client of examples/pooled_client.cpp, with asyncio."""

import asyncio
import sys


class RateLimiter:
    """One permit every 1/rate seconds, first come, first served."""

    def __init__(self, rate):
        self.period = 1 / rate
        self.next = 0.0

    async def acquire(self):
        loop = asyncio.get_running_loop()
        mine = max(self.next, loop.time())
        self.next = mine + self.period
        await asyncio.sleep(mine - loop.time())


class Client:
    def __init__(self, server, rate, connections_max):
        self.server = server
        self.limit = RateLimiter(rate)
        self.places = asyncio.Semaphore(connections_max)
        self.idle = []
        self.connected = self.repeated = 0

    async def ask(self, request):
        for attempt in range(3):
            try:
                return await self.ask_once(request)
            except (OSError, EOFError):
                if attempt == 2:
                    raise
                self.repeated += 1
                await asyncio.sleep(0.02 * 2**attempt)

    async def ask_once(self, request):
        async with self.places:
            await self.limit.acquire()
            reader, writer = await self.take()
            try:
                async with asyncio.timeout(5):
                    writer.write(request.encode())
                    await writer.drain()
                    answer = await reader.readuntil(b"\n")
            except BaseException:
                writer.close()
                raise
            self.idle.append((reader, writer))
            return answer

    async def take(self):
        while self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        async with asyncio.timeout(5):
            made = await asyncio.open_connection(*self.server)
        self.connected += 1
        return made


async def ask(client, number):
    try:
        await client.ask(f"GET {number}\n")
        return True
    except (OSError, EOFError) as error:
        print(f"request {number}: {error or 'timed out'}")
        return False


async def main(rate, connections_max, count, server):
    client = Client(server.rsplit(":", 1), int(rate), int(connections_max))
    asked = [ask(client, number) for number in range(int(count))]
    answered = sum(await asyncio.gather(*asked))
    for _, writer in client.idle:
        writer.close()
    print(
        f"{answered} of {count} requests answered, {client.connected} connections made, "
        f"{client.repeated} requests repeated"
    )
    return 0 if answered == int(count) else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(*sys.argv[1:])))
    except KeyboardInterrupt:
        sys.exit(130)
