#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The crawler of examples/crawler.cpp, with asyncio."""

import asyncio
import collections
import re
import sys

PAGE_MAX = 1024 * 1024
PAGES_MAX = 10_000


class PageError(Exception):
    """The server has answered with something that is no page."""


class Crawl:
    def __init__(self, at_once, per_host, seconds):
        self.requests = asyncio.Semaphore(at_once)
        self.hosts = collections.defaultdict(lambda: asyncio.Semaphore(per_host))
        self.seconds = seconds
        self.seen = set()
        self.fetched = self.failed = 0


def host_of(url):
    return url.removeprefix("http://").partition("/")[0]


async def fetch(url):
    host = host_of(url)
    path = url.removeprefix(f"http://{host}") or "/"
    reader, writer = await asyncio.open_connection(*host.rsplit(":", 1))
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        text = bytearray()
        while data := await reader.read(65536):
            text += data
            if len(text) > PAGE_MAX:
                raise PageError("page too long")
    finally:
        writer.close()
    head, end, body = bytes(text).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.") or not end:
        raise PageError("no HTTP")
    if head[9:12] != b"200":
        raise PageError(head[9:12].decode(errors="replace"))
    return body


async def visit(pages, crawl, url):
    try:
        async with crawl.hosts[host_of(url)], crawl.requests:
            async with asyncio.timeout(crawl.seconds):
                body = await fetch(url)
    except (OSError, ValueError, TypeError, PageError) as error:
        crawl.failed += 1
        print(f"{url}: {error or 'timed out'}")
        return
    crawl.fetched += 1
    print(f"{url}: {len(body)} bytes")
    for link in re.findall(rb"http://[^\"'<> \r\n]*", body):
        link = link.decode(errors="replace")
        if link not in crawl.seen and len(crawl.seen) < PAGES_MAX:
            crawl.seen.add(link)
            pages.create_task(visit(pages, crawl, link))


async def main(at_once, per_host, seconds, url):
    crawl = Crawl(int(at_once), int(per_host), int(seconds))
    crawl.seen.add(url)
    async with asyncio.TaskGroup() as pages:
        pages.create_task(visit(pages, crawl, url))
    print(f"{crawl.fetched} pages, {crawl.failed} failed")
    return 0 if crawl.failed == 0 else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(*sys.argv[1:])))
    except KeyboardInterrupt:
        sys.exit(130)
