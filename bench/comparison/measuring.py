# SPDX-License-Identifier: MIT
"""Measures echo servers: rounds in rotating order, more of them while a goal is undecided."""

import contextlib

from comparison.processes import RunningServer, run_load, run_round
from comparison.series import Series
from comparison.terminal import progress

EXTENSION_ROUNDS = 5  # Rounds added at a time while an interval contains a goal.
EXTENSION_FACTOR = 3  # At most this many times the requested rounds.


def straddled(series, goals):
    """Servers whose ratio is still undecided: its interval contains a goal."""
    ratios = [(goal, series.goal_ratio(goal)) for goal in goals]
    undecided = [goal for goal, ratio in ratios if ratio and ratio.low <= goal.limit < ratio.high]
    return list(dict.fromkeys(key for goal in undecided for key in (goal.subject, goal.base)))


def measure(workload, servers, goals, options, cores, load_threads=1):
    """The series of one workload. All servers run at once, and all are idle but one."""
    series = Series(workload, [server.key for server in servers])

    def visit(server):
        return run_load(server, workload, options, cores, load_threads)

    with contextlib.ExitStack() as stack:
        running = {}
        for server in servers:
            started = RunningServer(server, options.build, cores.server)
            running[server.key] = stack.enter_context(started)
        for _ in range(options.pairs):
            run_round(series, running, visit)
        while len(series.rounds) < EXTENSION_FACTOR * options.pairs:
            undecided = straddled(series, goals)
            if not undecided:
                break
            for _ in range(EXTENSION_ROUNDS):
                run_round(series, {key: running[key] for key in undecided}, visit)
    progress("")
    return series
