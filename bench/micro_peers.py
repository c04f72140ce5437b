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
import contextlib
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass

sys.dont_write_bytecode = True  # Leaves no files in the source tree.

from comparison import conditions, files
from comparison.processes import Cores, pinned
from comparison.series import Failure, Ratio, median_interval
from comparison.terminal import number, progress, run

FEWEST_ROUNDS = 6  # With fewer there is no 95 % interval of a median.
PATIENCE_S = 120  # For one run of one program; gevent takes 15 s.
BUILD_PATIENCE_S = 600
SOURCES = pathlib.Path(__file__).resolve().parent / "peers"

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


@dataclass(frozen=True)
class Program:
    key: str
    title: str
    command: list
    version: str
    repeats: int = 3  # How often one run measures each row.


# The programs. Those of Debian are meant, wherever else PATH leads.

ENVIRONMENT = dict(os.environ, PATH=f"/usr/bin:/bin:{os.environ.get('PATH', '')}")


def said_by(command, patience=PATIENCE_S, environment=None):
    """Its standard output. Fails if it fails."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience,
                              stdin=subprocess.DEVNULL, env={**ENVIRONMENT, **(environment or {})})
    except subprocess.TimeoutExpired:
        raise Failure(f"`{' '.join(command)}` did not end within {patience} s") from None
    except OSError as error:
        raise Failure(f"cannot run {command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        raise Failure(f"`{' '.join(command)}` failed with status {done.returncode}: "
                      f"{done.stderr.strip()[-1000:] or 'it gave no reason'}")
    return done.stdout


def has(program):
    return shutil.which(program, path=ENVIRONMENT["PATH"]) is not None


def make_ringlet(folder):
    path = folder.parent / "micro"
    if not os.access(path, os.X_OK):
        raise Failure(f"missing: {path}; build with `meson compile -C {folder.parent.parent}`")
    rows = [row for row in GOALS if row != ONE_WOKEN]
    return Program("ringlet", "ringlet", [path, "--only", *rows], "")


def make_go(folder):
    if not has("go"):
        return "golang-go"
    path = folder / "micro_go"
    said_by(["go", "build", "-o", path, SOURCES / "micro.go"], BUILD_PATIENCE_S,
            {"GOCACHE": str(folder / "go-cache"), "GO111MODULE": "off"})
    return Program("go", "Go", [path], said_by(["go", "version"]).strip())


def make_tokio(folder):
    crates = pathlib.Path("/usr/share/cargo/registry")
    found = sorted(crates.glob("tokio-[0-9]*"))
    missing = [name for name in ("rustc", "cargo") if not has(name)]
    missing += [] if found else ["librust-tokio-dev"]
    if missing:
        return " ".join(missing)
    # Cargo writes beside its Cargo.toml.
    copy = folder / "tokio"
    copy.mkdir(exist_ok=True)
    for name in ("Cargo.toml", "micro.rs"):
        shutil.copy(SOURCES / name, copy)
    said_by(["cargo", "build", "--release", "--offline", "--manifest-path", copy / "Cargo.toml",
             "--config", 'source.crates-io.replace-with="debian"',
             "--config", f'source.debian.directory="{crates}"'], BUILD_PATIENCE_S,
            {"CARGO_HOME": str(copy / "home"), "CARGO_TARGET_DIR": str(copy / "target")})
    version = f"{found[0].name}, {said_by(['rustc', '--version']).strip()}"
    return Program("tokio", "tokio", [copy / "target/release/micro_tokio"], version)


def make_gevent(_):
    if not has("python3"):
        return "python3-gevent"
    installed = "import importlib.util; print(importlib.util.find_spec('gevent') is not None)"
    if said_by(["python3", "-c", installed]).strip() != "True":
        return "python3-gevent"
    version = said_by(["python3", "-c", "import gevent; print(gevent.__version__)"]).strip()
    python = said_by(["python3", "--version"]).strip()
    return Program("gevent", "gevent", ["python3", "-B", SOURCES / "micro_gevent.py"],
                   f"gevent {version}, {python}", repeats=1)


PEERS = {"go": make_go, "tokio": make_tokio, "gevent": make_gevent}


def make_programs(options):
    """ringlet and the peers that can be built; prints one line for each other."""
    folder = options.build / "bench/peers"
    programs = [make_ringlet(folder)]
    folder.mkdir(parents=True, exist_ok=True)
    for key in options.peers:
        progress(f"building {key}")
        made = PEERS[key](folder)
        progress("")
        if isinstance(made, Program):
            programs.append(made)
        else:
            print(f"{key} is left out: apt-get install {made}")
    return programs


# Measuring.

def figures_of(output):
    """{row: nanoseconds}, from lines of name, median and least."""
    found = {}
    for line in output.splitlines():
        name, _, rest = line.rstrip().rpartition(" ")
        with contextlib.suppress(ValueError):
            name, _, median = name.rstrip().rpartition(" ")
            float(rest)
            found[name.rstrip()] = float(median)
    if {NEED_NOT_WAIT, ALL_WOKEN} <= found.keys():
        found[ONE_WOKEN] = found[ALL_WOKEN] - found[NEED_NOT_WAIT]
    return {name: value for name, value in found.items() if name in GOALS}


def measure(programs, options, core):
    """A list of {key of a program: {row: nanoseconds}}."""
    rounds = []
    for index in range(options.rounds):
        results = {}
        turn = index % len(programs)
        for program in programs[turn:] + programs[:turn]:
            progress(f"round {index + 1} of {options.rounds}, {program.title}")
            results[program.key] = figures_of(said_by(
                pinned([*program.command, "--rounds", program.repeats], core)))
        rounds.append(results)
    progress("")
    return rounds


def median_of(rounds, key, row):
    values = [results[key][row] for results in rounds if row in results[key]]
    return statistics.median(values) if values else None


def ratio_to_ringlet(rounds, key, row):
    ratios = [results[key][row] / results["ringlet"][row] for results in rounds
              if row in results[key] and results["ringlet"].get(row)]
    return Ratio(statistics.median(ratios), *median_interval(ratios)) if ratios else None


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


def table(programs, rounds):
    print(f"{'ns per operation':36}{'ringlet':>9}{'goal':>8}"
          + "".join(f"{program.title:>12}{'ratio':>7}" for program in programs[1:]))
    for row, goal in GOALS.items():
        ours = median_of(rounds, "ringlet", row)
        line = f"{row:36}{ours:9.1f}" + (f"{goal:6}" + ("  " if ours <= goal else " !")
                                         if goal else f"{'':8}")
        for program in programs[1:]:
            theirs = median_of(rounds, program.key, row)
            ratio = ratio_to_ringlet(rounds, program.key, row)
            line += f"{'-':>12}{'':7}" if theirs is None else f"{theirs:12.1f}{ratio.median:7.2f}"
        print(line)
    print("goal: of ringlet, on an idle machine; ! marks a median above it. ratio: the peer's\n"
          "figure over ringlet's; above 1, ringlet is faster.\n")


def losses(programs, rounds):
    """Prints every row in which ringlet is behind with the whole interval."""
    lines = []
    for row in GOALS:
        for program in programs[1:]:
            ratio = ratio_to_ringlet(rounds, program.key, row)
            if ratio and ratio.high < 1:
                lines.append(f"  {row:36} {program.title} takes {ratio} times as long")
    print("Where ringlet is behind, beyond the noise:" + ("" if lines else " nowhere."))
    print("\n".join(lines) + ("\n" if lines else ""))


def compare(options):
    core = Cores.choose().server
    programs = make_programs(options)
    found = show_conditions(options, programs, core)
    bystanders = conditions.Bystanders()
    rounds = measure(programs, options, core)
    table(programs, rounds)
    found["bystanders"] = bystanders.share()
    bystanders.show()
    losses(programs, rounds)
    files.write(options.json, json.dumps({"conditions": found, "rounds": rounds}, indent=1) + "\n")
    print(f"raw results: {options.json}")


def parse_peers(text):
    keys = list(dict.fromkeys(part.strip() for part in text.split(",")))
    for key in keys:
        if key not in PEERS:
            raise argparse.ArgumentTypeError(f"no peer `{key}`; known: {', '.join(PEERS)}")
    return keys


def main():
    parser = argparse.ArgumentParser(description="Compares single operations with peers.")
    option = parser.add_argument
    option("--build", type=pathlib.Path, default=pathlib.Path("build"), metavar="DIR",
           help="build folder (default build)")
    option("--rounds", type=number(int, FEWEST_ROUNDS), default=9, metavar="N",
           help="rounds; each runs every program once (default 9)")
    option("--only", dest="peers", type=parse_peers, default=list(PEERS), metavar="KEY,...",
           help=f"out of {', '.join(PEERS)} (default all)")
    option("--json", type=pathlib.Path, metavar="FILE",
           help="raw results (default DIR/bench/micro_peers.json)")
    options = parser.parse_args()
    options.build = options.build.absolute()
    options.json = options.json or options.build / "bench/micro_peers.json"
    return run("micro_peers.py", lambda: compare(options))


if __name__ == "__main__":
    sys.exit(main())
