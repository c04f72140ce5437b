#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares switches by hand: ringlet, boost.context and Python's greenlet.

usage: switch_peers.py [BUILD_ROOT]

    $ bench/switch_peers.py build
    ringlet              6.80 ns   1.00
    boost.context        6.50 ns  0.956
    Python's greenlet    248. ns   36.4

Prints nanoseconds per switch and the ratio to ringlet. Rounds of all three are interleaved; the
result is the median of each. Needs BUILD_ROOT/bench/switch_peers, which is built if boost.context
is installed. Measures greenlet if this Python has it.
"""

import statistics
import subprocess
import sys
import time

try:
    import greenlet
except ImportError:
    greenlet = None

ROUNDS = 9
SWITCHES = 1_000_000  # per round of Python's greenlet


def native_round(program):
    """{name: nanoseconds}: the medians of one short run."""
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: float(value) for name, value in (line.split() for line in output.splitlines())}


def echo(caller):
    value = caller.switch(None)
    while True:
        value = caller.switch(value)


def python_round():
    other = greenlet.greenlet(echo)
    other.switch(greenlet.getcurrent())
    begin = time.perf_counter_ns()
    for i in range(SWITCHES // 2):
        other.switch(i)
    return (time.perf_counter_ns() - begin) / SWITCHES


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    figures = {}
    for _ in range(ROUNDS):
        for name, value in native_round(f"{build}/bench/switch_peers").items():
            figures.setdefault(name, []).append(value)
        if greenlet is not None:
            figures.setdefault("Python's greenlet", []).append(python_round())
    ours = statistics.median(figures["ringlet"])
    for name, values in figures.items():
        median = statistics.median(values)
        print(f"{name:18} {median:#6.3g} ns {median / ours:#6.3g}")
    if greenlet is None:
        print(f"no greenlet in {sys.executable}", file=sys.stderr)


if __name__ == "__main__":
    main()
