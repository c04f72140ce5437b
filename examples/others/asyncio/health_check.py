#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The periodic job of examples/health_check.cpp, with asyncio."""

import asyncio
import signal
import sys


async def is_up(server, workers):
    async with workers:
        try:
            async with asyncio.timeout(1):
                _, writer = await asyncio.open_connection(*server.rsplit(":", 1))
        except OSError:  # TimeoutError is one
            return False
        writer.close()
        return True


async def main(milliseconds, workers_count, *servers):
    period = int(milliseconds) / 1000
    workers = asyncio.Semaphore(int(workers_count))
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    before, count, tick = {}, 0, loop.time() + period
    while True:
        try:
            async with asyncio.timeout_at(tick):
                await stop.wait()
            break
        except TimeoutError:
            pass
        missed = max(0, int((loop.time() - tick) / period))
        tick += (missed + 1) * period
        answers = await asyncio.gather(*(is_up(server, workers) for server in servers))
        count += 1
        now = dict(zip(servers, answers))
        for server in servers:
            if before.get(server) != now[server]:
                print(server, "is", "up" if now[server] else "down")
        late = f", {missed} rounds missed" if missed else ""
        print(f"round {count}: {sum(answers)} of {len(servers)} up{late}", flush=True)
        before = now
    print(f"stopped after {count} rounds")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
