# SPDX-License-Identifier: MIT
"""Runs the servers and load generators of a comparison: pins them, and always ends them."""

import contextlib
import json
import os
import resource
import select
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from comparison.series import Failure
from comparison.terminal import progress

START_TIMEOUT_S = 10  # A server prints its line within milliseconds, a sanitizer build within 1 s.
SPARE_DESCRIPTORS = 64  # For everything that is not a connection.
LOAD_PATIENCE_S = 60  # For opening the connections, in addition to the requested duration.


def require_programs(build, paths):
    """Fails, before measuring begins, if one of them is missing in the build folder."""
    missing = [path for path in paths if not os.access(build / path, os.X_OK)]
    if missing:
        raise Failure(f"missing in {build}: {', '.join(missing)}; build with "
                      f"`meson compile -C {build}`")


def require_descriptors(connections, options):
    """Fails if so many connections cannot be open at once; returns the descriptors that they need.
    `options`: those that ask for fewer."""
    most = connections + SPARE_DESCRIPTORS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < most:
        raise Failure(f"{connections} connections need {most} descriptors and the hard limit is "
                      f"{hard}: raise it (`ulimit -Hn {most}`, as root), or measure fewer with "
                      f"{options}")
    return most


@dataclass(frozen=True)
class Cores:
    server: int | None
    load: int | None
    why: str = "needs two cores and taskset"  # If nothing is pinned.

    @staticmethod
    def choose():
        available = sorted(os.sched_getaffinity(0))
        if len(available) < 2 or not shutil.which("taskset"):
            return Cores(None, None)
        return Cores(available[0], available[1])

    def describe(self):
        if self.server is None:
            return f"nothing is pinned ({self.why}): server and load share cores"
        return f"server on core {self.server}, load on core {self.load}"


def pinned(command, core):
    """The command, pinned to a core. The kernel kills it if this script is killed."""
    prefix = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    if core is not None:
        prefix += ["taskset", "--cpu-list", str(core)]
    return prefix + [str(part) for part in command]


class RunningServer:
    """A running server process. Every exit from the `with` ends it.

    setpriv and taskset exec the server, so the process that is started is the server.
    """

    def __init__(self, server, build, core):
        self.server = server
        self.path = build / server.path
        self.words = tempfile.TemporaryFile()  # Its standard error, shown only after a failure.
        self.process = subprocess.Popen(
            pinned([self.path, "--host", "127.0.0.1", "--port", "0", *server.arguments], core),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.words,
            env=dict(os.environ, **dict(server.environment)))

    def __enter__(self):
        try:
            self.host, self.port = self.wait_for_address()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.words.close()

    def wait_for_address(self):
        readable, _, _ = select.select([self.process.stdout], [], [], START_TIMEOUT_S)
        if not readable:
            raise Failure(f"{self.path} did not print its address within {START_TIMEOUT_S} s"
                          + self.last_words())
        line = self.process.stdout.readline().decode(errors="replace").strip()
        prefix = "listening on "
        host, colon, port = line.removeprefix(prefix).rpartition(":")
        if line.startswith(prefix) and colon and port.isdigit():
            return host.strip("[]"), int(port)
        said = f"printed `{line}`, not `listening on HOST:PORT`" if line else "printed nothing"
        raise Failure(f"{self.path} did not start: it {said}{self.last_words()}")

    def last_words(self):
        """How the process ended, if it did, and what it wrote to standard error."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=0.2)
        status = self.process.returncode
        self.words.seek(0)
        text = self.words.read().decode(errors="replace").strip()
        ended = "" if status is None else f"; it ended with status {status}"
        return ended + (f"; it wrote: {text[-1000:]}" if text else "")


def run_load(server, workload, options, cores, load_threads=1):
    """One measured window of echoes. Returns the load generator's result, or raises Failure."""
    command = [options.build / "bench/load", "--host", server.host, "--port", server.port,
               "--connections", workload.connections, "--size", workload.size,
               "--depth", options.depth, "--duration", options.seconds, "--warmup", options.warmup,
               "--reconnect", workload.reconnect, "--threads", load_threads,
               "--pid", server.process.pid, "--json", "-"]
    result, status, words = run_generator(command, server, workload, options, cores)
    if status == 0 and result is not None:
        if result["server_cpu_ns_per_message"] is None:
            raise Failure("the load generator did not report the server's CPU time")
        return result
    reason = describe_errors(result) or words or "no reason given"
    raise Failure(f"the load on {server.server.title} ({workload.title}) failed with status "
                  f"{status}: {reason}{server.last_words()}")


def run_round(series, running, visit):
    """Visits each running server once, in rotating order. The results of `visit` become the next
    round of the series."""
    number = len(series.rounds)
    keys = list(running)
    turn = number % len(keys)
    results = {}
    for key in keys[turn:] + keys[:turn]:
        progress(f"{series.workload.title}: round {number + 1}, {running[key].server.title}")
        results[key] = visit(running[key])
    series.rounds.append(results)


def run_generator(command, server, workload, options, cores):
    """Runs a load generator. Returns its JSON or None, its exit status, its standard error."""
    patience = options.seconds + options.warmup + LOAD_PATIENCE_S
    load = subprocess.Popen(pinned(command, cores.load), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        output, words = load.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        raise Failure(f"the load on {server.server.title} ({workload.title}) did not end within "
                      f"{patience:.0f} s{server.last_words()}") from None
    finally:
        if load.poll() is None:
            load.kill()
            load.wait()
    try:
        result = json.loads(output)
    except ValueError:
        result = None
    return result, load.returncode, words.decode(errors="replace").strip()


def describe_errors(result):
    if result is None:
        return ""
    kinds = [f"{kind} ({count} times)" for kind, count in result["errors"].items()]
    if result.get("wrong_bytes"):
        kinds.append(f"{result['wrong_bytes']} bytes came back wrong")
    return ", ".join(kinds)
