# SPDX-License-Identifier: MIT
"""Compares single operations: programs that print rows of nanoseconds, ringlet's and peers'."""

import contextlib
import statistics
from dataclasses import dataclass

from comparison.peers import said_by
from comparison.processes import pinned
from comparison.series import Ratio, median_interval
from comparison.terminal import progress


@dataclass(frozen=True)
class Program:
    key: str
    title: str
    command: list
    version: str
    repeats: int = 3  # How often one run measures each row.


def figures_of(output):
    """{row: nanoseconds}, from lines of name, median and least."""
    found = {}
    for line in output.splitlines():
        name, _, rest = line.rstrip().rpartition(" ")
        with contextlib.suppress(ValueError):
            name, _, median = name.rstrip().rpartition(" ")
            float(rest)
            found[name.rstrip()] = float(median)
    return found


def measure(programs, count, core, figures=figures_of):
    """`count` rounds, each a {key of a program: {row: nanoseconds}}."""
    rounds = []
    for index in range(count):
        results = {}
        turn = index % len(programs)
        for program in programs[turn:] + programs[:turn]:
            progress(f"round {index + 1} of {count}, {program.title}")
            results[program.key] = figures(said_by(
                pinned([*program.command, "--rounds", program.repeats], core)))
        rounds.append(results)
    progress("")
    return rounds


def median_of(rounds, key, row):
    values = [results[key][row] for results in rounds if row in results[key]]
    return statistics.median(values) if values else None


def ratio_of(rounds, key, row, base="ringlet", base_row=None):
    """A program's row over a row of another one, by default the same row of ringlet."""
    base_row = base_row or row
    ratios = [results[key][row] / results[base][base_row] for results in rounds
              if row in results[key] and results[base].get(base_row)]
    return Ratio(statistics.median(ratios), *median_interval(ratios)) if ratios else None


def table(goals, programs, rounds):
    """`goals`: {row: at most this many nanoseconds, or None}."""
    print(f"{'ns per operation':36}{'ringlet':>9}{'goal':>8}"
          + "".join(f"{program.title:>12}{'ratio':>7}" for program in programs[1:]))
    for row, goal in goals.items():
        ours = median_of(rounds, "ringlet", row)
        if ours is None:
            continue  # Not measured here.
        line = f"{row:36}{ours:9.1f}" + (f"{goal:6}" + ("  " if ours <= goal else " !")
                                         if goal else f"{'':8}")
        for program in programs[1:]:
            theirs = median_of(rounds, program.key, row)
            ratio = ratio_of(rounds, program.key, row)
            line += f"{'-':>12}{'':7}" if theirs is None else f"{theirs:12.1f}{ratio.median:7.2f}"
        print(line)
    print("goal: of ringlet, on an idle machine; ! marks a median above it. ratio: the peer's\n"
          "figure over ringlet's; above 1, ringlet is faster.\n")


def losses(goals, programs, rounds):
    """Prints every row in which ringlet is behind with the whole interval."""
    lines = []
    for row in goals:
        for program in programs[1:]:
            ratio = ratio_of(rounds, program.key, row)
            if ratio and ratio.high < 1:
                lines.append(f"  {row:36} {program.title} takes {ratio} times as long")
    print("Where ringlet is behind, beyond the noise:" + ("" if lines else " nowhere."))
    print("\n".join(lines) + ("\n" if lines else ""))
