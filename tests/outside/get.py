#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The get example as a program: names, servers of Python and nc, and servers that fail.

usage: get.py BUILD_ROOT [TEST...]
"""

import functools
import http.server
import re
import signal
import subprocess
import threading

import support
from support import DEADLINE, receive_all, reset


class Get(support.Case):
    def get(self, *arguments):
        """Runs to the end: the exit status, the output, and what went to standard error."""
        program = self.start("get", *arguments)
        output = program.process.stdout.read()
        return program.wait(), output, program.stderr

    def test_a_name_is_resolved_and_the_lines_arrive_with_their_ends(self):
        support.skip_unless_localhost()
        self.listen()
        program = self.start("get", f"localhost:{self.port}", "one", "", "three")
        server = self.accept()  # Although localhost may also be ::1, where no server listens.
        self.assertEqual(receive_all(server), b"one\r\n\r\nthree\r\n")
        server.sendall(b"the answer, without a line end")
        server.close()
        self.assertEqual(program.process.stdout.read(), b"the answer, without a line end")
        self.assertEqual((program.wait(), program.stderr), (0, ""))

    def test_a_numeric_address_works_without_lines(self):
        self.listen()
        program = self.start("get", f"127.0.0.1:{self.port}")
        server = self.accept()
        server.sendall(b"banner\n")
        self.assertEqual(receive_all(server), b"")
        server.close()
        self.assertEqual(program.process.stdout.read(), b"banner\n")
        self.assertEqual((program.wait(), program.stderr), (0, ""))

    def test_pythons_http_server_answers(self):
        support.skip_unless_localhost()
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(self.path.encode() * 100_000)

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
            thread = threading.Thread(target=functools.partial(server.serve_forever, 0.01))
            thread.start()
            try:
                where = f"localhost:{server.server_port}"
                status, output, errors = self.get(where, "GET /page HTTP/1.0", "")
            finally:
                server.shutdown()
                thread.join()
        self.assertEqual((status, errors), (0, ""))
        self.assertRegex(output, rb"\AHTTP/1.\d 200 OK\r\n")
        self.assertTrue(output.endswith(b"\r\n\r\n" + b"/page" * 100_000))

    def test_nc_is_a_server_for_it(self):
        support.skip_unless_localhost()
        support.skip_unless_installed("nc")
        # -v: it prints the port that it got.
        with subprocess.Popen(["nc", "-v", "-n", "-l", "127.0.0.1", "0"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as server:  # fmt: skip
            self.addCleanup(server.kill)
            line = server.stderr.readline()
            port = re.search(rb"(\d+)\s*$", line)
            if port is None:
                self.skipTest(f"this nc does not say where it listens: {line!r}")
            # The answer is there first: nc ends when the client sends no more.
            server.stdin.write(b"hello yourself\n")
            server.stdin.flush()
            program = self.start("get", f"localhost:{int(port[1])}", "hello")
            self.assertEqual(server.stdout.readline(), b"hello\r\n")
            self.assertEqual(program.process.stdout.read(), b"hello yourself\n")
            self.assertEqual((program.wait(), program.stderr), (0, ""))
            self.assertEqual(server.wait(DEADLINE), 0)

    def test_a_port_without_a_server_is_an_error_with_the_name_and_the_addresses(self):
        support.skip_unless_localhost()
        self.listen()
        self.listener.close()
        status, output, errors = self.get(f"localhost:{self.port}", "hello")
        self.assertEqual((status, output), (1, b""))
        self.assertEqual(errors.count("\n"), 1, errors)
        self.assertIn(f'connect to "localhost:{self.port}"', errors)
        self.assertIn(f"127.0.0.1:{self.port}", errors)
        self.assertIn("Connection refused", errors)

    def test_a_reset_in_the_middle_of_an_answer_is_an_error(self):
        self.listen()
        program = self.start("get", f"127.0.0.1:{self.port}", "hello")
        server = self.accept()
        self.assertEqual(receive_all(server), b"hello\r\n")
        server.sendall(b"half an ")
        self.assertEqual(program.process.stdout.read(8), b"half an ")
        reset(server)
        self.assertEqual(program.wait(), 1)
        self.assertIn("Connection reset by peer", program.stderr)

    def test_ctrl_c_ends_it_while_the_server_is_silent(self):
        self.listen()
        program = self.start("get", f"127.0.0.1:{self.port}", "hello")
        server = self.accept()
        self.assertEqual(receive_all(server), b"hello\r\n")
        program.signal(signal.SIGINT)
        self.assertEqual((program.wait(), program.stderr), (128 + signal.SIGINT, ""))
        try:
            self.assertEqual(server.recv(1), b"")
        except ConnectionResetError:
            pass

    def test_bad_arguments_are_refused(self):
        status, _, errors = self.get()
        self.assertEqual(status, 2)
        self.assertIn("usage: ", errors)
        for text, reason in (
            ("localhost", "the port is missing"),
            (":80", "it is empty"),
            ("localhost:65536", "a port is a number"),
            ("::1:80", "needs brackets"),
            ("two words:80", "no blanks"),
        ):
            status, output, errors = self.get(text, "hello")
            self.assertEqual((status, output), (1, b""), text)
            self.assertIn(reason, errors)
            self.assertEqual(errors.count("\n"), 1, errors)


if __name__ == "__main__":
    support.main()
