#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares chat servers; run by `./dev bench chat`.

    $ bench/chat.py --build build
    $ bench/chat.py --build build --workloads busy --pairs 30

Prints the conditions, the cost of a delivery, how many deliveries one core carries and how late
they are, whether every line arrived, where examples/chat_server is behind the hand-written server,
and which goals are met. All raw results go to a JSON file. If examples/chat_server is not built,
only the hand-written server is measured.

Method, as in compare.py: one core for the servers, which all run at once, and one for the load.
Short rounds visit each server in turn. The result is the median, over the rounds, of the ratio
within one round. After two rounds the servers are restarted: where the system places the memory of
a process and of its connections can change the cost of a delivery by a tenth, for the lifetime of
the process. The load is open: members talk at a fixed rate, no matter how the server performs. A
server that falls behind puts more lines into each send, so deliveries are cheap past saturation:
the goals for CPU apply where one core is far from busy.

Exit status: 0 measured, 1 could not measure or a line went wrong, 3 a goal is missed and --strict
was given.
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
from dataclasses import asdict

sys.dont_write_bytecode = True  # Leaves no files in the source tree.

from comparison import chat_report, conditions, files
from comparison.chat_series import CHAT_SERVERS, CHAT_WORKLOADS, CPU_GOALS, CPU_LIMIT, cpu_ns
from comparison.processes import Cores, RunningServer, describe_errors
from comparison.processes import require_programs, run_generator, run_round
from comparison.series import FEWEST_ROUNDS, Failure, Series
from comparison.terminal import keys_of, number, progress, run

EXTENSION_FACTOR = 3  # At most this many times the requested rounds, while a goal is undecided.
ROUNDS_OF_A_LIFE = 2  # Then the servers are restarted.


def choose_servers(options):
    if options.servers:
        return options.servers
    keys = ["ringlet", "limit"]
    if not os.access(options.build / CHAT_SERVERS["ringlet"].path, os.X_OK):
        print(f"There is no {options.build / CHAT_SERVERS['ringlet'].path}: only the hand-written "
              "server is measured.\n")
        keys.remove("ringlet")
    return keys


def check_beforehand(keys, options):
    paths = {"bench/chat_load"} | {CHAT_SERVERS[key].path for key in keys}
    require_programs(options.build, sorted(paths))


def visit(server, workload, options, cores):
    """One measured window. Faulty lines are a result; Failure if nothing could be measured."""
    command = [options.build / "bench/chat_load", "--host", server.host, "--port", server.port,
               "--members", workload.members, "--rooms", workload.rooms,
               "--total-rate", workload.rate, "--size", workload.size,
               "--seconds", options.seconds, "--warm-up", options.warmup,
               "--pid", server.process.pid, "--json", "-"]
    result, status, words = run_generator(command, server, workload, options, cores)
    if result is not None and result["deliveries"] and cpu_ns(result):
        return result
    reason = describe_errors(result) or words or "no reason given"
    raise Failure(f"the load on {server.server.title} ({workload.title}) failed with status "
                  f"{status}: {reason}{server.last_words()}")


def is_undecided(series):
    """Whether the interval of the ratio contains the goal."""
    if series.workload not in CPU_GOALS or not {"ringlet", "limit"} <= set(series.servers):
        return False
    ratio = series.ratio("ringlet", "limit", cpu_ns)
    return ratio.low <= CPU_LIMIT < ratio.high


def measure(workload, keys, options, cores):
    series = Series(workload, keys)

    def visit_one(server):
        return visit(server, workload, options, cores)

    while len(series.rounds) < options.pairs or (
            len(series.rounds) < EXTENSION_FACTOR * options.pairs and is_undecided(series)):
        with contextlib.ExitStack() as stack:
            running = {key: stack.enter_context(
                           RunningServer(CHAT_SERVERS[key], options.build, cores.server))
                       for key in keys}
            for _ in range(ROUNDS_OF_A_LIFE):
                run_round(series, running, visit_one)
    progress("")
    return series


def compare(options):
    keys = choose_servers(options)
    check_beforehand(keys, options)
    workloads = [CHAT_WORKLOADS[name] for name in options.workloads]
    cores = Cores.choose()
    load = f"{', '.join(options.workloads)} (see the tables); text of {workloads[0].size} bytes"
    found = conditions.collect(load, options, cores, conditions.ring_refusal())
    conditions.show(found)
    bystanders = conditions.Bystanders()
    all_series = [measure(workload, keys, options, cores) for workload in workloads]
    chat_report.tables(all_series)
    found["bystanders"] = bystanders.share()
    bystanders.show()
    wrong = chat_report.faults(all_series)
    chat_report.losses(all_series)
    verdicts = chat_report.judge(all_series)
    chat_report.goals(verdicts)
    content = {
        "conditions": found,
        "series": [{**asdict(series.workload), "rounds": series.rounds} for series in all_series],
        "goals": [{"goal": text, **asdict(value), "met": met} for text, value, met in verdicts],
    }
    files.write(options.json, json.dumps(content, indent=1) + "\n")
    print(f"raw results: {options.json}")
    if wrong:
        return 1
    return 3 if options.strict and not all(met for _, _, met in verdicts) else 0


def parse_options(arguments):
    parser = argparse.ArgumentParser(description="Compares chat servers.")
    option = parser.add_argument
    option("--build", type=pathlib.Path, default=pathlib.Path("build"), metavar="DIR",
           help="build folder (default build)")
    option("--pairs", type=number(int, FEWEST_ROUNDS), default=8, metavar="N",
           help="rounds; each visits every server once (default 8)")
    option("--seconds", type=number(float, 0.1), default=2, metavar="S",
           help="measured seconds per visit (default 2)")
    option("--warmup", type=number(float, 0), default=0.3, metavar="S",
           help="seconds of warm-up per visit (default 0.3)")
    option("--workloads", type=keys_of(CHAT_WORKLOADS), default=list(CHAT_WORKLOADS),
           metavar="NAME,...", help=f"out of {', '.join(CHAT_WORKLOADS)} (default all)")
    option("--servers", type=keys_of(CHAT_SERVERS), metavar="KEY,...",
           help=f"out of {', '.join(CHAT_SERVERS)} (default ringlet,limit)")
    option("--json", type=pathlib.Path, metavar="FILE",
           help="raw results (default DIR/bench/chat.json)")
    option("--strict", action="store_true", help="exit with status 3 if a median misses its goal")
    options = parser.parse_args(arguments)
    options.json = options.json or options.build / "bench" / "chat.json"
    return options


def main():
    options = parse_options(sys.argv[1:])
    return run("chat.py", lambda: compare(options))


if __name__ == "__main__":
    sys.exit(main())
