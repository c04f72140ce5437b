#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Where io_uring is refused, the echo server answers the same clients on epoll, and one line on
standard error says which call failed, what refused it, and what would allow it.

The refusals are real: seccomp filters like those of containers, a limit on locked memory, and
system calls that strace makes fail. The tests set RINGLET_ENGINE.

usage: refusal.py BUILD_ROOT [TEST...]
"""

import ctypes
import errno
import functools
import os
import pathlib
import re
import resource
import struct
import subprocess
import tempfile

import support
from support import environment

IO_URING_SETUP, IO_URING_ENTER, IO_URING_REGISTER = 425, 426, 427  # On every architecture.
CLIENTS = 200


class RefusalCase(support.Case):
    def setUp(self):
        refused = support.ring_refusal()
        if refused:
            self.skipTest(f"io_uring is refused without us, too: {os.strerror(refused)}")

    def start_on(self, engine, complaints="", **options):
        """A server that uses this engine, and prints only `complaints`."""
        options.setdefault("env", environment())
        server = self.start_server(complaints=complaints, **options)
        self.assertEqual(support.engine_of(server.pid), engine, server.stderr)
        self.assertRegex(server.stderr, rf"\A{complaints}\Z")
        return server

    def assert_answers_many(self, server):
        """Each client gets its own bytes, and so do those of the load generator, if built."""
        socks = [server.connect() for _ in range(CLIENTS)]
        texts = [f"client {number} ".encode() * 100 for number in range(CLIENTS)]
        for sock, text in zip(socks, texts):
            sock.sendall(text)
        for sock, text in zip(socks, texts):
            self.assertEqual(support.receive_exactly(sock, len(text)), text)
            sock.close()
        load = support.build_root / "bench" / "load"
        if load.exists():
            options = ["--connections", "50", "--warmup", "0", "--duration", "0.5"]
            done = subprocess.run(
                [load, "--port", str(server.port), *options], capture_output=True, text=True
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def assert_falls_back(self, call, error, says, **options):
        """`says` are parts of the line, in this order."""
        line = complaint(call, error, says) + r"; epoll is used instead \([^\n]*\)\n"
        server = self.start_on("epoll", complaints="ringlet: " + line, **options)
        self.assert_answers_many(server)

    def assert_ends(self, complaints, **options):
        """The program fails at its start, with only this on standard error."""
        program = self.start("echo_server", "--port", "0", **options)
        self.assertEqual(program.wait(), 1, program.stderr)
        self.assertEqual(program.process.stdout.read(), b"")
        self.assertRegex(program.stderr, rf"\A{complaints}\n\Z")

    def assert_refused(self, call, error, says, **options):
        """Falls back unless io_uring is requested, and prints nothing where epoll is requested."""
        around = options.pop("env", environment())
        self.assert_falls_back(call, error, says, env=around, **options)
        insisting = {**around, "RINGLET_ENGINE": "uring"}
        self.assert_ends(complaint(call, error, says), env=insisting, **options)
        server = self.start_on("epoll", env={**around, "RINGLET_ENGINE": "epoll"}, **options)
        self.assert_serves(server)


def complaint(call, error, says):
    """A pattern for the message of a refusal."""
    begin = f"io_uring is not available: {call} failed ({os.strerror(error)}): "
    return re.escape(begin) + "".join(rf"[^\n]*{re.escape(piece)}" for piece in says) + r"[^\n;]*"


class Seccomp(RefusalCase):
    """A filter, like that of a container, makes system calls fail."""

    remedy = "allow io_uring_setup, io_uring_enter and io_uring_register in the profile"

    def check(self, number, error, call, says):
        filtered = functools.partial(deny, number, error)
        if number == IO_URING_SETUP:
            self.assertEqual(support.ring_refusal(preexec_fn=filtered), error)
        self.assert_refused(call, error, says, preexec_fn=filtered)

    def test_a_denial_as_by_docker_is_explained(self):
        says = ["a seccomp filter denies it", self.remedy, "--security-opt seccomp="]
        self.check(IO_URING_SETUP, errno.EPERM, "io_uring_setup", says)

    def test_a_filter_as_of_podman_is_explained(self):
        says = ["a seccomp filter hides it", self.remedy]
        self.check(IO_URING_SETUP, errno.ENOSYS, "io_uring_setup", says)

    def test_a_ring_that_may_not_be_used_is_refused(self):
        says = ["a seccomp filter denies it", self.remedy]
        self.check(IO_URING_ENTER, errno.EPERM, "io_uring_enter", says)
        says = ["a seccomp filter hides it", self.remedy]
        self.check(IO_URING_ENTER, errno.ENOSYS, "io_uring_enter", says)

    def test_a_ring_that_gets_no_buffers_is_refused(self):
        says = ["a seccomp filter denies it", self.remedy]
        self.check(IO_URING_REGISTER, errno.EPERM, "io_uring_register (buffer ring)", says)

    def test_an_unexpected_errno_ends_the_program(self):
        filtered = functools.partial(deny, IO_URING_SETUP, errno.ENXIO)
        says = complaint("io_uring_setup", errno.ENXIO, ["not expected"])
        self.assert_ends(says, env=environment(), preexec_fn=filtered)


class LockedMemory(RefusalCase):
    """Rings count as locked memory, and there may be none."""

    def test_the_limit_on_locked_memory_is_named(self):
        if support.ring_refusal(preexec_fn=lock_nothing) != errno.ENOMEM:
            self.skipTest("this kernel does not count rings as locked memory")
        says = ["even the smallest ring was refused", "locked memory is 0 KiB", "`ulimit -l`"]
        says += ["LimitMEMLOCK=", "CAP_IPC_LOCK"]
        self.assert_refused("io_uring_setup", errno.ENOMEM, says, preexec_fn=lock_nothing)


class Injected(RefusalCase):
    """Failures that no filter or limit can cause here, so strace injects them."""

    def trace(self, *arguments, **log):
        options = support.traced(*arguments, **log)
        return {**options, "env": environment(ASAN_OPTIONS=options["env"]["ASAN_OPTIONS"])}

    def inject(self, fault):
        return self.trace("-e", f"trace={fault.partition(':')[0]}", "-e", f"inject={fault}")

    def check(self, call, error, says, named=None, when=""):
        fault = f"{call}:error={errno.errorcode[error]}{when}"
        with self.subTest(fault=fault):
            self.assert_refused(named or call, error, says, **self.inject(fault))

    def test_failures_of_io_uring_setup_are_explained(self):
        self.check("io_uring_setup", errno.EPERM, ["a security module denies it"])
        self.check("io_uring_setup", errno.ENOSYS, ["no io_uring; Linux 6.1 or later"])
        self.check("io_uring_setup", errno.EINVAL, ["lacks a feature", "Linux 6.1 or later"])
        self.check("io_uring_setup", errno.ENOMEM, ["even the smallest", "`ulimit -l`"])

    def test_memory_that_suffices_only_for_the_trial_is_explained(self):
        """The size of the lasting ring is halved until it is the smallest."""
        says = ["even the smallest", "`ulimit -l`"]
        self.check("io_uring_setup", errno.ENOMEM, says, when=":when=2+")

    def test_failures_of_the_buffer_ring_are_explained(self):
        named = "io_uring_register (buffer ring)"
        self.check("io_uring_register", errno.EINVAL, ["Linux 6.1 or later"], named)
        self.check("io_uring_register", errno.EPERM, ["a security module denies it"], named)
        self.check("io_uring_register", errno.ENOSYS, ["no io_uring; Linux 6.1 or later"], named)
        self.check("io_uring_register", errno.ENOMEM, ["even the smallest", "`ulimit -l`"], named)

    def test_running_out_of_descriptors_is_not_hidden(self):
        for error, cure in ((errno.EMFILE, "`ulimit -n`"), (errno.ENFILE, "fs.file-max")):
            fault = self.inject(f"io_uring_setup:error={errno.errorcode[error]}")
            self.assert_ends(complaint("io_uring_setup", error, [cure]), **fault)

    def test_the_kernel_is_probed_once_in_a_process(self):
        """One ring for the probe, and a lasting one."""
        with tempfile.NamedTemporaryFile() as log:
            options = self.trace("-e", "trace=io_uring_setup", log=log.name)
            server = self.start_on("uring", **options)
            self.assert_serves(server)
            self.assertEqual(pathlib.Path(log.name).read_text().count("io_uring_setup("), 2)


class Named(RefusalCase):
    """RINGLET_ENGINE and RINGLET_DISABLE."""

    needed = ["single_issuer", "defer_taskrun", "buffer_ring", "multishot_accept", "multishot_poll"]
    optional = ["multishot_receive", "limited_receive", "registered_ring", "no_iowait"]

    def test_each_engine_works_by_its_name(self):
        for engine in ("uring", "epoll"):
            server = self.start_on(engine, env=environment(RINGLET_ENGINE=engine))
            self.assert_answers_many(server)

    def test_without_a_name_the_engine_is_io_uring(self):
        self.assert_serves(self.start_on("uring", env=environment(RINGLET_ENGINE="")))

    def test_unknown_names_are_refused(self):
        engines = r"RINGLET_ENGINE is 'nonsense'; it must be uring or epoll"
        self.assert_ends(engines, env=environment(RINGLET_ENGINE="nonsense"))
        features = " ".join(self.needed + self.optional)
        features = rf"RINGLET_DISABLE names 'nonsense'; the names are {features}"
        self.assert_ends(features, env=environment(RINGLET_DISABLE="nonsense"))

    def test_without_a_required_feature_the_engine_is_epoll(self):
        for name in self.needed:
            with self.subTest(name=name):
                around = environment(RINGLET_DISABLE=name)
                line = rf"io_uring is not available: RINGLET_DISABLE switches off {name}, [^\n;]*"
                says = rf"ringlet: {line}; epoll is used instead \([^\n]*\)\n"
                self.assert_answers_many(self.start_on("epoll", complaints=says, env=around))
                self.assert_ends(line, env={**around, "RINGLET_ENGINE": "uring"})

    def test_without_an_optional_feature_the_engine_is_io_uring(self):
        for names in (*self.optional, ",".join(self.optional)):
            with self.subTest(names=names):
                around = environment(RINGLET_DISABLE=names)
                self.assert_answers_many(self.start_on("uring", env=around))


class Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def deny(number, error):
    """For a child before exec: this system call fails from now on."""
    load, jump_if_equal, answer = 0x20, 0x15, 0x06  # See linux/bpf_common.h.
    allow, fail = 0x7FFF0000, 0x00050000  # SECCOMP_RET_...
    instructions = [
        (load, 0, 0, 0),
        (jump_if_equal, 0, 1, number),
        (answer, 0, 0, fail | error),
        (answer, 0, 0, allow),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    no_new_privileges, set_seccomp, mode_filter = 38, 22, 2  # See linux/prctl.h.
    prctl(no_new_privileges, 1, 0, 0, 0)
    prctl(set_seccomp, mode_filter, ctypes.byref(Program(len(instructions), code)))


def lock_nothing():
    """For a child before exec: it may lock no memory, not even as root."""
    bounding_set_drop, cap_ipc_lock = 24, 14
    if os.geteuid() == 0:
        prctl(bounding_set_drop, cap_ipc_lock, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))


def prctl(*arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(*arguments) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    support.main()
