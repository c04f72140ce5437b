#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples/seccomp_io_uring.json, the profile that allows io_uring in a container: a confined
process has io_uring, and is still confined.

libseccomp turns the profile into a filter, as container runtimes do, with every condition, for a
container with Docker's default capabilities.

usage: seccomp_profile.py BUILD_ROOT [TEST...]
"""

import ctypes
import errno
import functools
import json
import os
import pathlib
import re
import subprocess
import sys

import support
from support import environment

PROFILE = pathlib.Path(__file__).parents[2] / "examples" / "seccomp_io_uring.json"
OF_IO_URING = {"io_uring_enter", "io_uring_register", "io_uring_setup"}

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # uname(2) -> Docker's name
CAPABILITIES = {"CAP_SYS_CHROOT"}  # The only one of Docker's that the profile names.

ACTIONS = {"SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_ERRNO": 0x00050000}  # See seccomp.h.
COMPARISONS = {"SCMP_CMP_LT": 2, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}

# System calls newer than libseccomp 2.5.4. Runtimes skip those that their version does not know.
YOUNG = set(
    """cachestat fchmodat2 futex_requeue futex_wait futex_wake getxattrat listmount listxattrat
    lsm_get_self_attr lsm_list_modules lsm_set_self_attr map_shadow_stack mseal removexattrat
    riscv_hwprobe setxattrat statmount uretprobe""".split()
)


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = [
        ("index", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("value_two", ctypes.c_uint64),
    ]


@functools.cache
def libseccomp():
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        raise support.unittest.SkipTest("libseccomp is not installed (libseccomp2)") from None
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def number_of(name):
    """The number that libseccomp has for it, or None."""
    number = libseccomp().seccomp_syscall_resolve_name(name.encode())
    return None if number == -1 else number


def applies(rule):
    """Whether it applies to this machine and the capabilities of a container."""
    machine = ARCHITECTURES.get(os.uname().machine)
    if machine is None:
        raise support.unittest.SkipTest(f"on {os.uname().machine} this has not been tried")
    includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
    return (
        machine in includes.get("arches", [machine])
        and set(includes.get("caps", [])) <= CAPABILITIES
        and machine not in excludes.get("arches", [])
        and not set(excludes.get("caps", [])) & CAPABILITIES
    )


class Filter:
    """The filter of the profile. Calling it confines the process permanently."""

    def __init__(self, profile):
        library = libseccomp()
        default = ACTIONS[profile["defaultAction"]] | profile["defaultErrnoRet"]
        self.context = ctypes.c_void_p(library.seccomp_init(default))
        for rule in filter(applies, profile["syscalls"]):
            action = ACTIONS[rule["action"]] | rule.get("errnoRet", 0)
            arguments = [
                Comparison(arg["index"], COMPARISONS[arg["op"]], arg["value"], 0)
                for arg in rule.get("args", [])
            ]
            array = (Comparison * len(arguments))(*arguments)
            numbers = [number_of(name) for name in rule["names"]]
            for number in (one for one in numbers if one is not None):
                failed = library.seccomp_rule_add_array(
                    self.context, action, number, len(arguments), array
                )
                if failed:
                    raise OSError(-failed, f"{rule['names']}: {os.strerror(-failed)}")

    def __call__(self):
        failed = libseccomp().seccomp_load(self.context)
        if failed:
            raise OSError(-failed, "seccomp_load")


def without(names, profile):
    rules = [
        {**rule, "names": [name for name in rule["names"] if name not in names]}
        for rule in profile["syscalls"]
    ]
    return {**profile, "syscalls": rules}


class Form(support.Case):
    """The fields that runtimes expect, checked here because they ignore unknown ones."""

    def setUp(self):
        self.profile = json.loads(PROFILE.read_text())

    def test_the_profile_names_its_architectures(self):
        self.assertEqual(
            set(self.profile), {"defaultAction", "defaultErrnoRet", "archMap", "syscalls"}
        )
        self.assertEqual(self.profile["defaultAction"], "SCMP_ACT_ERRNO")
        self.assertEqual(self.profile["defaultErrnoRet"], errno.EPERM)
        for entry in self.profile["archMap"]:
            self.assertEqual(set(entry), {"architecture", "subArchitectures"})
            for name in (entry["architecture"], *entry["subArchitectures"]):
                self.assertRegex(name, r"\ASCMP_ARCH_[A-Z0-9_]+\Z")

    def test_every_rule_is_valid(self):
        optional = {"comment", "errnoRet", "args", "includes", "excludes"}
        for rule in self.profile["syscalls"]:
            with self.subTest(rule=rule):
                self.assertEqual(set(rule) - optional, {"names", "action"})
                self.assertIn(rule["action"], ACTIONS)
                self.assertEqual(rule["names"], sorted(set(rule["names"])))
                self.assertEqual("errnoRet" in rule, rule["action"] == "SCMP_ACT_ERRNO")
                for arg in rule.get("args", []):
                    self.assertEqual(set(arg), {"index", "value", "op"})
                    self.assertIn(arg["op"], COMPARISONS)
                for where in ("includes", "excludes"):
                    self.assertLessEqual(set(rule.get(where, {})), {"arches", "caps", "minKernel"})

    def test_every_name_is_a_system_call(self):
        names = {name for rule in self.profile["syscalls"] for name in rule["names"]}
        self.assertLessEqual({name for name in names if number_of(name) is None}, YOUNG)


class Confined(support.Case):
    def setUp(self):
        self.profile = json.loads(PROFILE.read_text())
        if support.ring_refusal():
            self.skipTest(f"io_uring is refused: {os.strerror(support.ring_refusal())}")

    def assert_answers_many(self, server):
        socks = [server.connect() for _ in range(100)]
        for sock in socks:
            self.assert_echoes(sock, b"hello")
        for sock in socks:
            sock.close()

    def test_the_echo_server_runs_with_io_uring(self):
        server = self.start_server(
            env=environment(RINGLET_ENGINE="uring"), preexec_fn=Filter(self.profile)
        )
        self.assertEqual(support.engine_of(server.pid), "uring")
        self.assert_answers_many(server)

    def test_the_echo_server_runs_with_epoll_under_the_same_profile(self):
        server = self.start_server(
            env=environment(RINGLET_ENGINE="epoll"), preexec_fn=Filter(self.profile)
        )
        self.assertEqual(support.engine_of(server.pid), "epoll")
        self.assert_answers_many(server)

    def test_without_any_of_the_three_calls_the_server_falls_back(self):
        for names, failed in (
            (OF_IO_URING, "io_uring_setup"),
            ({"io_uring_setup"}, "io_uring_setup"),
            ({"io_uring_enter"}, "io_uring_enter"),
            ({"io_uring_register"}, "io_uring_register (buffer ring)"),
        ):
            with self.subTest(without=names):
                says = f"{failed} failed ({os.strerror(errno.EPERM)}): a seccomp filter denies it"
                begin = re.escape(f"ringlet: io_uring is not available: {says}")
                server = self.start_server(
                    env=environment(),
                    preexec_fn=Filter(without(names, self.profile)),
                    complaints=rf"{begin}[^\n]*; epoll is used instead [^\n]*\n",
                )
                self.assertEqual(support.engine_of(server.pid), "epoll")
                self.assert_answers_many(server)

    def test_calls_that_docker_denies_are_denied(self):
        """The calls also have other invalid arguments, so that they have no effect."""
        denied = {
            "keyctl(-1)": errno.EPERM,
            "mount(0, 0, 0, 0, 0)": errno.EPERM,
            "unshare(-1)": errno.EPERM,
            "clone(1 << 28 | 1 << 16)": errno.EPERM,  # CLONE_NEWUSER and CLONE_THREAD
            "clone3(0, 0)": errno.ENOSYS,
            "personality(1)": errno.EPERM,
            "socket(38, -1, -1)": errno.EPERM,  # AF_ALG
            "socket(40, -1, -1)": errno.EPERM,  # AF_VSOCK
            "socket((1 << 32) + 40, -1, -1)": errno.EPERM,  # The kernel looks at 32 bits only.
        }
        allowed = {"socket(2, -1, -1)": errno.EINVAL, "io_uring_setup(0, 0)": errno.EFAULT}
        for call, expected in {**denied, **allowed}.items():
            with self.subTest(call=call):
                self.assertEqual(self.call(call), os.strerror(expected))

    def call(self, text):
        """The system's answer to a confined process."""
        name, _, arguments = text.partition("(")
        program = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
words = map(ctypes.c_long, ({arguments[:-1]},))
done = libc.syscall(ctypes.c_long({number_of(name)}), *words)
print(os.strerror(ctypes.get_errno()) if done == -1 else "done")
"""
        output = subprocess.check_output(
            [sys.executable, "-c", program], preexec_fn=Filter(self.profile), text=True
        )
        return output.strip()


if __name__ == "__main__":
    support.main()
