#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares echo servers; run by `./dev bench echo` and `./dev demo`.

    $ bench/compare.py demo --build build   ringlet and a thread per connection, half a minute
    $ bench/compare.py echo --build build   five workloads, hand-written servers, with goals

Prints the conditions, one table, where ringlet is behind, and for `echo` which goals are met. All
raw results go to a JSON file; `demo` also draws a picture.

Method: the speed of a machine varies by tens of percent within seconds, because of other processes
and changes of the clock rate, so two long runs one after the other mostly compare the state of the
machine. Here all servers run at once, all idle except the one being measured, and short rounds
visit each in turn, in an order that rotates from round to round. The result is the median of the
ratios within a round, with its 95 % interval. While an interval contains a goal, more rounds are
run, up to a limit. The quantity compared is the server's own CPU time, user and kernel, per
message. Messages per second also depend on the load generator; the table shows how much of its core
the server used.

Exit status: 0 measured, 1 could not measure, 3 a goal is missed and --strict was given.
"""

import argparse
import pathlib
import re
import sys

sys.dont_write_bytecode = True  # Leaves no files in the source tree.

from comparison import conditions, files, report
from comparison.measuring import measure
from comparison.processes import Cores, require_descriptors, require_programs
from comparison.series import CYCLES, ECHO_WORKLOADS, REPRESENTATIVE, SERVERS
from comparison.series import FEWEST_ROUNDS, Failure, Goal, Workload
from comparison.terminal import keys_of, number, run


# What to measure.

def make_plan(options, refusal):
    """The servers that each workload visits: [(workload, keys)]. `refusal`: why io_uring failed."""
    if options.connections or options.size:
        workloads = [Workload(options.connections or REPRESENTATIVE.connections,
                              options.size or REPRESENTATIVE.size)]
    else:
        default = (*ECHO_WORKLOADS, CYCLES) if options.mode == "echo" else [REPRESENTATIVE]
        workloads = options.workloads or default
    if options.servers:
        return [(workload, options.servers) for workload in workloads]
    # Without io_uring ringlet runs on epoll, so hand-written epoll is the limit.
    limit = "epoll" if refusal else "limit"
    if options.mode == "demo":
        return [(workload, ["ringlet", limit, "threads"]) for workload in workloads]
    # Servers without a goal are measured only in the representative or in a single workload.
    everything = ["ringlet", "limit", "ringlet-epoll", "epoll", "threads"]
    if refusal:
        everything = ["ringlet", "epoll", "threads"]
    some = {CYCLES: ["ringlet", limit, "epoll"] if not refusal else ["ringlet", "epoll"]}
    return [(workload, everything if workload == REPRESENTATIVE or len(workloads) == 1
             else some.get(workload, ["ringlet", limit])) for workload in workloads]


def make_goals(plan, options):
    if options.mode == "demo" or options.depth != 1:
        return []
    goals = []
    for workload, keys in plan:
        if {"ringlet", "limit"} <= set(keys) and workload in ECHO_WORKLOADS:
            goals.append(Goal(workload, "limit", 1.05))
        if {"ringlet", "epoll"} <= set(keys) and workload == CYCLES:
            goals.append(Goal(workload, "epoll", 1.0))
        if {"ringlet", "threads"} <= set(keys) and workload == REPRESENTATIVE:
            goals.append(Goal(workload, "threads", 0.5))
        if {"ringlet-epoll", "epoll"} <= set(keys) and workload == REPRESENTATIVE:
            goals.append(Goal(workload, "epoll", 1.05, subject="ringlet-epoll"))
    return goals


def check_beforehand(plan, options):
    """Fails before measuring begins if something is missing."""
    if not options.build.is_dir():
        raise Failure(f"there is no build folder {options.build}: create it with `meson setup "
                      f"--buildtype=release {options.build}`")
    paths = {"bench/load"} | {SERVERS[key].path for _, keys in plan for key in keys}
    require_programs(options.build, sorted(paths))
    require_descriptors(max(workload.connections for workload, _ in plan),
                        "--connections or --workloads")


def compare(options):
    refusal = conditions.ring_refusal()
    plan = make_plan(options, refusal)
    goals = make_goals(plan, options)
    check_beforehand(plan, options)
    cores = Cores.choose()
    titles = [workload.title for workload, _ in plan]
    load = f"connections x message size: {', '.join(titles)}; {options.depth} in flight on each"
    if any(workload.reconnect for workload, _ in plan):
        load += "; /N: a new connection after N messages"
    found = conditions.collect(load, options, cores, refusal)
    conditions.show(found)
    bystanders = conditions.Bystanders()
    all_series = [measure(workload, [SERVERS[key] for key in keys], goals, options, cores)
                  for workload, keys in plan]
    verdicts = report.judge(all_series, goals)
    report.table(all_series)
    found["bystanders"] = bystanders.share()
    bystanders.show()
    if any("ringlet" in keys and len(keys) > 1 for _, keys in plan):
        report.losses(all_series)
    report.goals(verdicts)
    for series in all_series if options.mode == "demo" else []:
        report.bars(series)
        if {"ringlet", "threads"} <= set(series.servers):
            report.headline(series)
    files.write_json(options.json, found, all_series, verdicts)
    if options.svg:
        files.write_chart(options.svg, all_series)
    missed = any(ratio.median > goal.limit for goal, ratio, _ in verdicts)
    return 3 if options.strict and missed else 0


# Command line.

def parse_workloads(text):
    """`500x64,100x64/1` -> workloads."""
    workloads = []
    for part in text.split(","):
        numbers = re.fullmatch("([1-9][0-9]*)x([1-9][0-9]*)(?:/([1-9][0-9]*))?", part.strip())
        if not numbers:
            raise argparse.ArgumentTypeError(f"`{part}` is not CONNECTIONSxBYTES, such as 500x64, "
                                             "or CONNECTIONSxBYTES/MESSAGES")
        workloads.append(Workload(*(int(number or 0) for number in numbers.groups())))
    return workloads


def parse_options(arguments):
    parser = argparse.ArgumentParser(description="Compares echo servers.",
                                     formatter_class=argparse.RawTextHelpFormatter)
    option = parser.add_argument
    option("mode", choices=("echo", "demo"),
           help="echo: five workloads and the goals\n"
                "demo: one workload in half a minute, with a picture")
    option("--build", type=pathlib.Path, default=pathlib.Path("build"), metavar="DIR",
           help="build folder (default build)")
    option("--pairs", type=number(int, FEWEST_ROUNDS), default=15, metavar="N",
           help="rounds; each visits every server once (default 15)")
    option("--seconds", type=number(float, 0.01), metavar="S",
           help="measured seconds per visit (default 0.5, for demo 0.4)")
    option("--warmup", type=number(float, 0), default=0.1, metavar="S",
           help="seconds of warm-up per visit (default 0.1)")
    option("--depth", type=number(int, 1), default=1, metavar="N",
           help="messages in flight on each connection (default 1)")
    option("--workloads", type=parse_workloads, metavar="NxB[/M],...",
           help="connections x bytes; each client connects again after M messages\n"
                "(default 500x64, for echo also 500x4096,16x64,5000x64,100x64/1)")
    option("--connections", type=number(int, 1), metavar="N",
           help="a single workload, with this many connections (default 500)")
    option("--size", type=number(int, 1), metavar="B",
           help="a single workload, with messages of this many bytes (default 64)")
    option("--servers", type=keys_of(SERVERS, "server "), metavar="KEY,...",
           help=f"servers to visit in every workload, out of\n{', '.join(SERVERS)}")
    option("--json", type=pathlib.Path, metavar="FILE",
           help="raw results (default DIR/bench/MODE.json)")
    option("--svg", type=pathlib.Path, metavar="FILE",
           help="picture (default for demo DIR/bench/demo.svg)")
    option("--strict", action="store_true", help="exit with status 3 if a median misses its goal")
    options = parser.parse_args(arguments)
    if options.workloads and (options.connections or options.size):
        parser.error("--workloads cannot be combined with --connections and --size")
    options.seconds = options.seconds or (0.4 if options.mode == "demo" else 0.5)
    options.json = options.json or options.build / "bench" / f"{options.mode}.json"
    if options.mode == "demo":
        options.svg = options.svg or options.build / "bench" / "demo.svg"
    return options


def main():
    options = parse_options(sys.argv[1:])
    return run("compare.py", lambda: compare(options))


if __name__ == "__main__":
    sys.exit(main())
