#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares single operations beside Go, tokio and gevent; run by `./dev bench micro --peers`.

    $ bench/micro_peers.py --build build
    $ bench/micro_peers.py --build build --rounds 30 --only tokio

Prints the conditions, nanoseconds per operation with the ratio to ringlet, ringlet's goals, and
where ringlet is behind. All raw results go to a JSON file. A peer whose Debian package is missing
is left out, with a line that names the package. `-` stands where a peer has nothing alike; each
program in peers/ says what its rows do, and where that is less than in ringlet.

Method: each round runs each program once, in rotating order, on one core; a program measures each
row three times (gevent, which takes long, once) and reports the median. The result is the median,
over the rounds, of the figures, and of the ratios within one round. The last row is the difference
of the two above it.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import sys

sys.dont_write_bytecode = True  # Leaves no files in the source tree.

from comparison import conditions, files, peers, rows
from comparison.peers import Missing, said_by
from comparison.processes import Cores
from comparison.rows import Program
from comparison.series import FEWEST_ROUNDS, Failure
from comparison.terminal import keys_of, number, run

NEED_NOT_WAIT = "100,000 fibers that need not wait"
ALL_WOKEN = "100,000 fibers that one event wakes"
ONE_WOKEN = "  of that, waiting and being woken"
GOALS = {  # Name of a row: at most this many nanoseconds, or None.
    "spawn + join": 25,
    "yield": 7,
    "mutex, lock and unlock": 5,
    "mutex, handed over (with a yield)": 35,
    "semaphore, acquire and release": 8,
    "condition, notify and wake": 40,
    "queue of 1, item handed over": 30,
    "channel of 1, item handed over": 35,
    "select of two queues": 60,
    NEED_NOT_WAIT: None,
    ALL_WOKEN: None,
    ONE_WOKEN: 65,
}


def make_ringlet(folder):
    path = folder.parent / "micro"
    if not os.access(path, os.X_OK):
        raise Failure(f"missing: {path}; build with `meson compile -C {folder.parent.parent}`")
    measured = [row for row in GOALS if row != ONE_WOKEN]
    return Program("ringlet", "ringlet", [path, "--only", *measured], "")


def make_go(folder):
    version = peers.build_go(folder, "micro")
    if isinstance(version, Missing):
        return version
    return Program("go", "Go", [folder / "micro_go"], version)


def make_tokio(folder):
    version = peers.build_tokio(folder, "micro")
    if isinstance(version, Missing):
        return version
    return Program("tokio", "tokio", [peers.tokio_program(folder, "micro")], version)


def make_gevent(_):
    if not peers.has("python3"):
        return Missing("python3-gevent")
    installed = "import importlib.util; print(importlib.util.find_spec('gevent') is not None)"
    if said_by(["python3", "-c", installed]).strip() != "True":
        return Missing("python3-gevent")
    version = said_by(["python3", "-c", "import gevent; print(gevent.__version__)"]).strip()
    python = said_by(["python3", "--version"]).strip()
    return Program("gevent", "gevent", ["python3", "-B", peers.SOURCES / "micro_gevent.py"],
                   f"gevent {version}, {python}", repeats=1)


PEERS = {"go": make_go, "tokio": make_tokio, "gevent": make_gevent}


def make_programs(options):
    """ringlet and the peers that can be built."""
    folder = options.build / "bench/peers"
    return [make_ringlet(folder), *peers.make_all(options.peers, PEERS, folder).values()]


# Measuring.

def figures_of(output):
    """{row: nanoseconds}, with the row that is computed."""
    found = rows.figures_of(output)
    if {NEED_NOT_WAIT, ALL_WOKEN} <= found.keys():
        found[ONE_WOKEN] = found[ALL_WOKEN] - found[NEED_NOT_WAIT]
    return {name: value for name, value in found.items() if name in GOALS}


# Printing.

def show_conditions(options, programs, core):
    build = conditions.build_description(options.build)
    found = {
        "kernel": f"{platform.system()} {platform.release()}",
        "cpu": conditions.cpu_model(),
        "core": core,
        **build,
        "versions": {program.key: program.version for program in programs[1:]},
        "rounds": options.rounds,
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    print(f"kernel    {found['kernel']}")
    print(f"CPU       {found['cpu']}, "
          + (f"all on core {core}" if core is not None else "nothing is pinned"))
    print(f"ringlet   {build['buildtype']} (-O{build['optimization']}), {build['compiler']}")
    for program in programs[1:]:
        print(f"{program.title:9} {program.version}")
    print(f"rounds    {options.rounds}, programs in rotating order")
    print(f"date      {found['date']}")
    if build["optimization"] in ("0", "g"):
        print("WARNING   this build is not optimised: do not quote its numbers")
    print(flush=True)
    return found


def compare(options):
    core = Cores.choose().server
    programs = make_programs(options)
    found = show_conditions(options, programs, core)
    bystanders = conditions.Bystanders()
    rounds = rows.measure(programs, options.rounds, core, figures_of)
    rows.table(GOALS, programs, rounds)
    found["bystanders"] = bystanders.share()
    bystanders.show()
    rows.losses(GOALS, programs, rounds)
    files.write(options.json, json.dumps({"conditions": found, "rounds": rounds}, indent=1) + "\n")
    print(f"raw results: {options.json}")


def main():
    parser = argparse.ArgumentParser(description="Compares single operations with peers.")
    option = parser.add_argument
    option("--build", type=pathlib.Path, default=pathlib.Path("build"), metavar="DIR",
           help="build folder (default build)")
    option("--rounds", type=number(int, FEWEST_ROUNDS), default=9, metavar="N",
           help="rounds; each runs every program once (default 9)")
    option("--only", dest="peers", type=keys_of(PEERS, "peer "), default=list(PEERS),
           metavar="KEY,...", help=f"out of {', '.join(PEERS)} (default all)")
    option("--json", type=pathlib.Path, metavar="FILE",
           help="raw results (default DIR/bench/micro_peers.json)")
    options = parser.parse_args()
    options.build = options.build.absolute()
    options.json = options.json or options.build / "bench/micro_peers.json"
    return run("micro_peers.py", lambda: compare(options))


if __name__ == "__main__":
    sys.exit(main())
