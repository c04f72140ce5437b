#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Names as other programs of the system see them: the get example and getent, with the hosts of
nss_wrapper, and with dnsmasq as the name server of a network namespace.

usage: names.py BUILD_ROOT [TEST...]
"""

import ctypes.util
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import support
from support import DEADLINE, receive_all


class Names(support.Case):
    before = ()  # What starts a program where the names are known.

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def known_to_others(self, name):
        """The addresses of a name, as getent finds them, in its order."""
        output = subprocess.check_output([*self.before, "getent", "ahosts", name], text=True)
        return [line.split()[0] for line in output.splitlines() if "STREAM" in line]

    def tried(self, name):
        """The addresses that get tries on a port where no server listens, in its order."""
        program = self.get(f"{name}:1")
        self.assertEqual(program.wait(), 1, program.stderr)
        found = re.findall(r"[( ]\[?([0-9a-f.:]+)\]?:1: Connection refused", program.stderr)
        return found or re.findall(r" at \[?([0-9a-f.:]+)\]?:1: ", program.stderr)

    def get(self, *arguments):
        return self.start("get", *arguments, before=self.before)

    def assert_fails(self, name, why):
        program = self.get(f"{name}:80")
        self.assertEqual(program.wait(), 1)
        self.assertEqual(program.stderr, f'cannot resolve "{name}": {why}\n')


def alternating(addresses):
    """The order of RFC 8305: the family of the first address, then the other one, and so on."""
    first = [one for one in addresses if (":" in one) == (":" in addresses[0])]
    rest = [one for one in addresses if one not in first]
    mixed = []
    while first or rest:
        mixed += first[:1] + rest[:1]
        first, rest = first[1:], rest[1:]
    return mixed


class Wrapped(Names):
    def setUp(self):
        super().setUp()
        wrapper = ctypes.util.find_library("nss_wrapper")
        if wrapper is None:
            self.skipTest("nss_wrapper is not installed (libnss-wrapper)")
        if support.is_sanitized():
            self.skipTest("the library of a sanitizer must be the first one")
        hosts = self.folder / "hosts"
        hosts.write_text("".join(f"127.0.0.{i} several.test\n" for i in (2, 1, 3))
                         + "127.0.0.1 one.test\n")  # fmt: skip
        self.before = ["env", f"LD_PRELOAD={wrapper}", f"NSS_WRAPPER_HOSTS={hosts}"]

    def test_a_name_of_the_hosts_file_is_reached(self):
        self.listen()
        program = self.get(f"one.test:{self.port}", "hello")
        server = self.accept()
        self.assertEqual(receive_all(server), b"hello\r\n")
        server.close()
        self.assertEqual((program.wait(), program.stderr), (0, ""))

    def test_addresses_are_those_of_other_programs_in_the_same_order(self):
        known = self.known_to_others("several.test")
        self.assertEqual(len(known), 3)
        self.assertEqual(self.tried("several.test"), known)


class Dnsmasq(Names):
    def setUp(self):
        super().setUp()
        support.skip_unless_installed("dnsmasq", "getent", "ip", "nsenter", "unshare")
        self.enter_namespace()
        self.name_server = support.Program(
            *self.before, "dnsmasq", "--no-daemon", "--user=root", "--group=root", "--pid-file=",
            "--conf-file=/dev/null", "--listen-address=127.0.0.1", "--bind-interfaces",
            "--no-resolv", "--no-hosts", "--local=/test/",
            "--host-record=several.test,127.0.0.2,::1", "--host-record=several.test,127.0.0.1",
            "--host-record=one.test,127.0.0.1", "--txt-record=text.test,no address",
        )  # fmt: skip
        self.addCleanup(self.name_server.end)
        support.wait_until(lambda: "cleared cache" in self.name_server.stderr
                           or not self.name_server.is_running(), "dnsmasq has started")  # fmt: skip
        if not self.name_server.is_running():
            self.skipTest(f"dnsmasq does not run here: {self.name_server.stderr}")

    def enter_namespace(self):
        """Only loopback, and a name server on it, which has 60 s to answer."""
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:60\n")
        (self.folder / "nsswitch.conf").write_text("hosts: dns\n")
        script = (
            "ip link set lo up"
            ' && mount --bind "$0/resolv.conf" /etc/resolv.conf'
            ' && mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf'
            " && echo ready && exec cat"
        )
        keeper = support.Program(
            shutil.which("unshare"), "--map-root-user", "--net", "--mount", "sh", "-c", script,
            self.folder, stdin=subprocess.PIPE,
        )  # fmt: skip
        self.addCleanup(keeper.end)
        if keeper.process.stdout.readline() != b"ready\n":
            keeper.wait()
            self.skipTest(f"no namespaces can be made here: {keeper.stderr}")
        self.before = ["nsenter", "--preserve-credentials", f"--target={keeper.pid}", "--user",
                       "--net", "--mount"]  # fmt: skip

    def has_a_question(self):
        """Whether a datagram waits at the name server."""
        for line in pathlib.Path(f"/proc/{self.name_server.pid}/net/udp").read_text().splitlines():
            _, local, _, _, queues, *_ = line.split()
            if local.endswith(":0035") and not queues.endswith(":00000000"):
                return True
        return False

    def test_a_name_is_looked_up_and_reached(self):
        server = self.start_server(before=self.before)
        program = self.get(f"one.test:{server.port}", "hello")
        self.assertEqual(program.process.stdout.read(), b"hello\r\n")
        self.assertEqual((program.wait(), program.stderr), (0, ""))

    def test_addresses_are_those_of_other_programs_with_families_alternating(self):
        known = self.known_to_others("several.test")
        self.assertEqual(sorted(known), ["127.0.0.1", "127.0.0.2", "::1"])
        tried = self.tried("several.test")
        self.assertEqual(sorted(tried), sorted(known))
        # dnsmasq rotates its answers: compare the families, which are sorted.
        families = [":" in one for one in tried]
        self.assertEqual(families, [":" in one for one in alternating(known)])

    def test_names_without_an_address_are_errors_that_say_why(self):
        self.assert_fails("missing.test", "the host does not exist")
        self.assert_fails("text.test", "the host has no address of this kind")

    def test_a_name_server_that_is_not_there_is_a_temporary_error(self):
        self.name_server.end()
        self.assert_fails("one.test", "no name server has answered; try again later")

    def test_ctrl_c_ends_a_lookup_that_is_stuck(self):
        self.name_server.signal(signal.SIGSTOP)
        program = self.get("one.test:80")
        support.wait_until(self.has_a_question, "the lookup has begun")
        program.signal(signal.SIGINT)
        self.assertEqual((program.wait(DEADLINE), program.stderr), (128 + signal.SIGINT, ""))


if __name__ == "__main__":
    support.main()
