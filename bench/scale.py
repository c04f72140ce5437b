#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares echo servers on one and on two threads, and what threads cost each other; run by
`./dev bench scale`.

    $ bench/scale.py --build build
    $ bench/scale.py --build build --connections 16,256 --pairs 30 --peers tokio,go
    $ bench/scale.py --build build --only operations

First echo servers: examples/echo_server on one and two schedulers, beside tokio (its multi-thread
runtime), Go, Boost.Asio (one io_context that all threads run) and a thread per connection. Then
single operations between two threads: a wake-up, an item of a queue, a call, a socket handed over.
Prints the conditions, tables, ringlet's goals, and where ringlet is behind. All raw results go to a
JSON file. A peer whose Debian package is missing is left out, with a line that names the package.

Method, as in compare.py: all servers run at once, all idle except the one being measured, and short
rounds visit each in turn, in rotating order. The result is the median of the ratios within a round.
The quantity compared is the CPU time per message of the whole server process, user and kernel.
Messages per second say less: on two cores, a server on two threads competes with the load generator
for them. Nothing is pinned, neither servers nor the load, so that servers on one and on two threads
run under the same conditions.

Exit status: 0 measured, 1 could not measure, 3 a goal is missed and --strict was given.
"""

import argparse
import pathlib
import resource
import sys
from dataclasses import replace

sys.dont_write_bytecode = True  # Leaves no files in the source tree.

from comparison import conditions, files, peers, report, rows, scale_report
from comparison.measuring import measure
from comparison.processes import Cores, require_descriptors, require_programs
from comparison.rows import Program
from comparison.scale_series import OPERATIONS, PEERS, RINGLET, SIZE, WOKEN, WOKEN_BY_HAND
from comparison.scale_series import WOKEN_TOGETHER, WOKEN_TOGETHER_BY_HAND, make_goals
from comparison.series import FEWEST_ROUNDS, Workload
from comparison.terminal import keys_of, number, run

PARTS = ("servers", "operations")
UNPINNED = Cores(None, None, "servers on several threads need the cores")


# Preparing.

def build_go(folder):
    return peers.build_go(folder, "echo", "threads")


def build_tokio(folder):
    return peers.build_tokio(folder, "echo", "threads", features=["threads"])


def build_asio(folder):
    return peers.build_asio(folder, "echo")


def find_threads(_):
    return ""


BUILDERS = {"tokio": build_tokio, "go": build_go, "asio": build_asio, "threads": find_threads}


def check_beforehand(options):
    """Fails before measuring begins if something is missing."""
    require_programs(options.build, ["bench/load", "bench/micro_threads", RINGLET.path,
                                     PEERS["threads"].path])
    most = require_descriptors(max(options.connections), "--connections")
    # The servers inherit it; not all of them raise it.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


# Measuring.

def compare_servers(options, techniques):
    """Returns the series and the verdicts on their goals."""
    servers = [server for one in techniques for server in one.servers(options.threads)]
    goals = make_goals(options.connections, options.threads)
    all_series = [measure(Workload(count, SIZE), servers, goals, options, UNPINNED,
                          options.load_threads) for count in options.connections]
    verdicts = report.judge(all_series, goals)
    by_key = {server.key: server for server in servers}
    scale_report.table(all_series, by_key)
    scale_report.losses(all_series, by_key)
    report.goals(verdicts, by_key)
    return all_series, verdicts


def operations_programs(options, versions):
    folder = options.build / "bench"
    paths = {"tokio": peers.tokio_program(folder / "peers", "threads"),
             "go": folder / "peers/threads_go"}
    ours = Program("ringlet", "ringlet", [folder / "micro_threads"], "")
    return [ours, *(Program(key, PEERS[key].title, [path], versions[key])
                    for key, path in paths.items() if key in versions)]


def add_rows_of_one_cpu(rounds, programs):
    """Measures wake-ups again with all threads on one CPU."""
    core = Cores.choose().server
    if core is None:
        return
    both = {WOKEN: WOKEN_TOGETHER, WOKEN_BY_HAND: WOKEN_TOGETHER_BY_HAND}
    asked = [replace(program, command=[*program.command, "--only", WOKEN,
                                       *([WOKEN_BY_HAND] if program.key == "ringlet" else [])])
             for program in programs]
    for results, more in zip(rounds, rows.measure(asked, len(rounds), core), strict=True):
        for key, figures in more.items():
            results[key] |= {both[row]: value for row, value in figures.items()}


def compare_operations(options, versions):
    """Returns the rounds, and whether a goal is missed."""
    programs = operations_programs(options, versions)
    rounds = rows.measure(programs, options.rounds, None)
    add_rows_of_one_cpu(rounds, programs)
    print(f"Between two threads ({len(rounds)} rounds); CPU: of both threads, else the time that "
          "passes")
    rows.table(OPERATIONS, programs, rounds)
    rows.losses(OPERATIONS, programs, rounds)
    print("Goal:")
    missed = scale_report.woken(rounds)
    missed |= any(goal and rows.median_of(rounds, "ringlet", row) > goal
                  for row, goal in OPERATIONS.items())
    return rounds, missed


def show_versions(versions):
    for key, version in versions.items():
        if version:
            print(f"{PEERS[key].title:9} {version}")
    print(flush=True)


def compare(options):
    check_beforehand(options)
    versions = peers.make_all(options.peers, BUILDERS, options.build / "bench/peers")
    load = (f"{', '.join(map(str, options.connections))} connections x {SIZE} B; "
            f"{options.depth} in flight on each; load on {options.load_threads} thread(s)")
    found = conditions.collect(load, options, UNPINNED, conditions.ring_refusal())
    found["versions"] = versions
    conditions.show(found)
    show_versions(versions)
    bystanders = conditions.Bystanders()
    all_series, verdicts, rounds, missed = [], [], [], False
    if "servers" in options.parts:
        techniques = [RINGLET, *(PEERS[key] for key in versions)]
        all_series, verdicts = compare_servers(options, techniques)
        missed = any(ratio.median > goal.limit for goal, ratio, _ in verdicts)
    if "operations" in options.parts:
        rounds, missed_there = compare_operations(options, versions)
        missed |= missed_there
    found["bystanders"] = bystanders.share()
    bystanders.show()
    files.write_json(options.json, found, all_series, verdicts, operations=rounds)
    return 3 if options.strict and missed else 0


# Command line.

def parse_numbers(text):
    """`1,16` -> [1, 16]"""
    numbers = [part.strip() for part in text.split(",")]
    for part in numbers:
        if not part.isdigit() or not int(part):
            raise argparse.ArgumentTypeError(f"`{part}` is not a number of at least 1")
    return sorted({int(part) for part in numbers})


def parse_options(arguments):
    parser = argparse.ArgumentParser(description="Compares servers on one and on two threads.",
                                     formatter_class=argparse.RawTextHelpFormatter)
    option = parser.add_argument
    option("--build", type=pathlib.Path, default=pathlib.Path("build"), metavar="DIR",
           help="build folder (default build)")
    option("--only", dest="parts", type=keys_of(PARTS, may_be_empty=True), default=list(PARTS),
           metavar="PART", help=f"{' or '.join(PARTS)} (default both)")
    option("--connections", type=parse_numbers, default=[1, 16, 64, 256, 1024], metavar="N,...",
           help="numbers of connections (default 1,16,64,256,1024)")
    option("--threads", type=parse_numbers, default=[1, 2], metavar="N,...",
           help="numbers of threads of the servers (default 1,2)")
    option("--load-threads", type=number(int, 1), default=1, metavar="N",
           help="threads of the load generator (default 1)")
    option("--peers", type=keys_of(PEERS, may_be_empty=True), default=list(PEERS),
           metavar="KEY,...", help=f"out of {', '.join(PEERS)} (default all)")
    option("--pairs", type=number(int, FEWEST_ROUNDS), default=15, metavar="N",
           help="rounds; each visits every server once (default 15)")
    option("--seconds", type=number(float, 0.01), default=0.4, metavar="S",
           help="measured seconds per visit (default 0.4)")
    option("--warmup", type=number(float, 0), default=0.1, metavar="S",
           help="seconds of warm-up per visit (default 0.1)")
    option("--rounds", type=number(int, FEWEST_ROUNDS), default=9, metavar="N",
           help="rounds of the operations; each runs every program once (default 9)")
    option("--json", type=pathlib.Path, metavar="FILE",
           help="raw results (default DIR/bench/scale.json)")
    option("--strict", action="store_true", help="exit with status 3 if a median misses its goal")
    options = parser.parse_args(arguments)
    options.depth = 1  # Messages in flight on each connection.
    options.build = options.build.absolute()
    options.json = options.json or options.build / "bench/scale.json"
    return options


def main():
    options = parse_options(sys.argv[1:])
    return run("scale.py", lambda: compare(options))


if __name__ == "__main__":
    sys.exit(main())
