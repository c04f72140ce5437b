# SPDX-License-Identifier: MIT
"""What the scripts beside this file share: starting the programs of a build, waiting for conditions
with a deadline, inspecting a process from outside, skipping with a reason.

A script is run as `NAME.py BUILD_ROOT [TEST...]`. No function sleeps in the hope that something has
happened by then: wait_until() polls for the condition itself. The scripts use only loopback and
ports that the system chose, and end only processes that they started.
"""

import functools
import json
import os
import pathlib
import pty
import re
import resource
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

SKIPPED = 77  # Meson's exit status for "skipped".
DEADLINE = 30.0  # Seconds. For events that take milliseconds or never happen.

# Set where time is short: less data, shorter measurements.
FAST = bool(os.environ.get("RINGLET_TEST_FAST"))

build_root = None


def main():
    """Runs the tests of the script; the last line says why when all of them were skipped."""
    global build_root
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} BUILD_ROOT [TEST...]")
    build_root = pathlib.Path(sys.argv.pop(1)).resolve()
    reason = why_nothing_runs()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2)
    result = unittest.main(exit=False, testRunner=runner).result
    for test, reason in result.skipped:
        print(f"skipped: {test.id().rpartition('.')[2]}: {reason}")
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.testsRun == len(result.skipped) else 0)


def why_nothing_runs():
    """A reason to skip everything: examples were not built, or the system refuses io_uring and a
    test of io_uring was requested. Otherwise epoll is tested then, without the line about it."""
    if not program_path("echo_server").exists():
        return "echo_server was not built: it needs CLI11 (libcli11-dev)"
    with Program(program_path("echo_server"), "--port", "0") as probe:
        line = probe.process.stdout.readline()
        if not line and probe.wait() == 1 and "io_uring" in probe.stderr:
            return probe.stderr.strip().splitlines()[-1]
        if "epoll is used instead" in probe.stderr:
            print(probe.stderr.strip().splitlines()[-1])
            os.environ["RINGLET_ENGINE"] = "epoll"
    return None


def program_path(name):
    return build_root / "examples" / name


@functools.cache
def build_options():
    text = (build_root / "meson-info" / "intro-buildoptions.json").read_text()
    return {option["name"]: option["value"] for option in json.loads(text)}


def is_sanitized():
    return build_options()["b_sanitize"] not in ("none", "", [])


def is_optimised():
    return build_options()["optimization"] in ("2", "3", "s")


def test_compiler():
    """The command that compiles a test, without its source, outputs and precompiled headers, and
    the folder to run it in."""
    for unit in json.loads((build_root / "compile_commands.json").read_text()):
        if unit["file"].endswith("sched/throws.cpp"):
            words = shlex.split(unit["command"])
            kept = [w for w in words if re.match(r"-I|-std=|-D_|-pthread|-stdlib|-isystem", w)]
            tools = words[: next(i for i, w in enumerate(words) if w.startswith("-"))]
            return tools + kept, unit["directory"]
    raise LookupError("the tests of sched are not built here")


def skip_unless_installed(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            raise unittest.SkipTest(f"{tool} is not installed")


@functools.cache
def localhost_is_missing():
    try:
        socket.getaddrinfo("localhost", 80, socket.AF_INET)
    except OSError as error:
        return str(error)
    return ""


def skip_unless_localhost():
    """A new root folder has no /etc/hosts."""
    if localhost_is_missing():
        raise unittest.SkipTest(f"localhost has no address here: {localhost_is_missing()}")


def open_terminal():
    """The two descriptors of a terminal: its keyboard and screen, and the program's side."""
    try:
        return pty.openpty()
    except OSError as error:
        raise unittest.SkipTest(f"no terminal can be made here: {error} (is /dev/pts mounted?)")


def skip_unless_traceable():
    skip_unless_installed("strace")
    if subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode != 0:
        raise unittest.SkipTest("strace may not trace here")


def skip_unless_named(engine):
    """Skips where another engine is under test, and where the kernel refuses this one."""
    if (os.environ.get("RINGLET_ENGINE") or engine) != engine:
        raise unittest.SkipTest(f"RINGLET_ENGINE names another engine than {engine}")
    if engine == "uring" and ring_refusal():
        raise unittest.SkipTest(f"io_uring_setup: {os.strerror(ring_refusal())}")


def ring_refusal(**options):
    """The errno with which the kernel refuses a small ring to a child process that is started with
    these options of subprocess; 0 when the kernel grants one."""
    return ask_for_ring(**options)[0]


def ask_for_ring(**options):
    """ring_refusal(), and the kernel's features. Does not use ringlet, which is under test."""
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
params = (ctypes.c_uint32 * 30)()  # struct io_uring_params
print(0 if libc.syscall(425, 8, params) >= 0 else ctypes.get_errno(), params[5])
"""
    output = subprocess.check_output([sys.executable, "-c", program], **options)
    return [int(word) for word in output.split()]


def environment(**changes):
    """The environment of this process, in which only these arguments choose an engine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RINGLET_")}
    return {**kept, **changes}


def traced(*arguments, log=os.devnull):
    """Options for Case.start() that start a program under strace with these arguments."""
    skip_unless_traceable()
    # LeakSanitizer does not work under a tracer.
    checks = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    # -D: the program is our child, and strace a process beside it.
    return {
        "before": ["strace", "-D", "-f", "-qq", "-o", log, *arguments],
        "env": {**os.environ, "ASAN_OPTIONS": checks},
    }


def raise_descriptor_limit(wanted, why):
    """Lets this process and its children open that many descriptors, or skips."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise unittest.SkipTest(f"{why} need {wanted} descriptors, the hard limit is {hard}")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_five_hundred_clients(case, where):
    """The client of the notes on gevent, 500 threads, against a server that sends bytes back."""
    script = pathlib.Path(__file__).resolve().parents[2] / "examples/others/gevent/clients.py"
    host, _, port = where.rpartition(":")
    said = subprocess.run([sys.executable, script, host, port], capture_output=True, text=True,
                          timeout=4 * DEADLINE)  # fmt: skip
    case.assertEqual((said.stdout, said.stderr, said.returncode),
                     ("500 of 500 clients got 20 answers each\n", "", 0))  # fmt: skip


def wait_until(condition, what, seconds=DEADLINE):
    """Returns the first true value of condition(); fails when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.005)


class Program:
    """A child process. Its standard error goes to a file, so that it never blocks."""

    def __init__(self, *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **options):
        # Meson sets this variable: it fills, and so touches, new memory before its use.
        environment = dict(options.pop("env", os.environ))
        environment.pop("MALLOC_PERTURB_", None)
        self.errors = tempfile.TemporaryFile()
        self.name = pathlib.Path(command[0]).name
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=stdin, stdout=stdout, stderr=self.errors, env=environment, **options,
        )  # fmt: skip
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    @property
    def stderr(self):
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode(errors="replace")

    def is_running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=DEADLINE):
        """The exit status, after the end; -N after signal N."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended within {seconds:g} s") from None

    def end(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                stream.close()


class Server(Program):
    """A server that says `listening on HOST:PORT` in its first line."""

    def __init__(self, *command, **options):
        super().__init__(*command, **options)
        line = self.process.stdout.readline().decode()
        words = line.split()
        if words[:2] != ["listening", "on"] or len(words) != 3:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"first line {line!r}, standard error: {self.stderr!r}")
        self.host, _, port = words[2].rpartition(":")
        self.host = self.host.strip("[]")
        self.port = int(port)

    def connect(self, receive_buffer=None, send_buffer=None):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        made.settimeout(DEADLINE)
        made.connect((self.host, self.port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


class Case(unittest.TestCase):
    """A test that ends the processes it started, and checks how the server ended."""

    # The exit status of a server after SIGTERM.
    status_after_request = 128 + signal.SIGTERM

    def start(self, name, *arguments, before=(), **options):
        made = Program(*before, program_path(name), *arguments, **options)
        self.addCleanup(made.end)
        return made

    def start_server(self, *arguments, port=0, complaints="", before=(), **options):
        """echo_server, on a free port by default. When the test is over the server must still
        run, end on SIGTERM, and have printed only `complaints`, a pattern, on standard error."""
        command = [*before, program_path("echo_server"), "--port", port, *arguments]
        made = Server(*command, **options)
        self.addCleanup(made.end)
        self.addCleanup(self.check_server, made, complaints)
        return made

    def check_server(self, server, complaints):
        if server.process.returncode is not None:
            return  # The test has checked how it ended.
        self.assertTrue(server.is_running(), f"the server died: {server.stderr}")
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), self.status_after_request, server.stderr)
        self.assertRegex(server.stderr, rf"\A{complaints}\Z")

    def listen(self):
        """For a client that is tested against a server in its script, at self.port."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(DEADLINE)
        self.addCleanup(self.listener.close)
        self.port = self.listener.getsockname()[1]

    def accept(self):
        sock, _ = self.listener.accept()
        sock.settimeout(DEADLINE)
        self.addCleanup(sock.close)
        return sock

    def assert_echoes(self, sock, data):
        sock.sendall(data)
        self.assertEqual(receive_exactly(sock, len(data)), data)

    def assert_serves(self, server):
        """A new connection is served."""
        with server.connect() as sock:
            self.assert_echoes(sock, b"still there?")


def engine_of(pid):
    """uring or epoll: the engine of a process that has one."""
    links = []
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(entry))
        except FileNotFoundError:
            pass  # Closed since the listing.
    kinds = {"anon_inode:[io_uring]": "uring", "anon_inode:[eventpoll]": "epoll"}
    found = [kinds[link] for link in links if link in kinds]
    return " and ".join(found) or "none"


def receive_exactly(sock, count):
    """`count` bytes, or fewer when the stream ends before."""
    parts = []
    while count > 0:
        part = sock.recv(min(count, 1 << 20))
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def receive_all(sock):
    return receive_exactly(sock, sys.maxsize)


def reset(sock):
    """Closes it so that the peer gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def process_state(pid):
    """A letter, see proc_pid_stat(5): R is running, S sleeping, T stopped."""
    return process_fields(pid)[0]


def process_fields(pid):
    """/proc/PID/stat from the state, the third field, on; the second one may contain blanks."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def handles_signal(pid, number):
    """Whether the process has installed a handler for it."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("SigCgt:"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def cpu_seconds(pid):
    fields = process_fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def context_switches(pid):
    """How many times the first thread of the process has slept or was preempted."""
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/status").read_text()
    return [line for line in text.splitlines() if "ctxt_switches" in line]


def memory_bytes(pid):
    """The memory of the process; shared pages count by their share (PSS). Pages of files are left
    out, because that share changes when another program that runs the same file ends."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = dict(re.findall(r"^(\w+): +(\d+) kB$", text, re.M))
    return (int(sizes["Pss"]) - int(sizes["Pss_File"])) * 1024


def descriptor_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
