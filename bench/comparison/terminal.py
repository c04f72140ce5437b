# SPDX-License-Identifier: MIT
"""Shared by the measuring scripts: progress, types of options, exit status."""

import argparse
import signal
import sys

from comparison.series import Failure


def progress(text):
    """A line that overwrites the previous one; only on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def number(kind, least):
    """A type for argparse: a `kind` of at least `least`."""
    def convert(text):
        value = kind(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return value
    convert.__name__ = kind.__name__  # argparse prints it if `text` is not a number.
    return convert


def keys_of(known, what="", may_be_empty=False):
    """A type for argparse: some of the known keys, separated by commas. `what` they are, with a
    blank behind it, for the message."""
    def convert(text):
        keys = list(dict.fromkeys(part.strip() for part in text.split(",")))
        if may_be_empty:
            keys = [key for key in keys if key]
        for key in keys:
            if key not in known:
                raise argparse.ArgumentTypeError(f"no {what}`{key}`; known: {', '.join(known)}")
        return keys
    return convert


def run(name, action):
    """Runs `action` and returns its exit status. Prints a Failure and returns 1."""
    # SIGTERM becomes an exception, so that every `with` on the way out ends its server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return action()
    except Failure as failure:
        progress("")
        print(f"{name}: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress("")
        print(f"{name}: interrupted; the servers are stopped", file=sys.stderr)
        return 130
