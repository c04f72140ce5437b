#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/check_coroutines.py: what it reports, what it accepts, and no new findings in this project.

usage: check_coroutines_test.py SOURCE_ROOT [TEST...]
"""

import collections
import pathlib
import subprocess
import sys
import tempfile
import unittest

FOLDERS = ["core", "sched", "net", "examples", "bench", "tests"]

# Reported but correct: the chosen or captured value has no destructor, or is awaited itself.
KNOWN = {
    "tests/core/coro/compiler_traps_test.cpp": 2,
    "tests/net/socket/accept_phases_test.cpp": 1,
    "tests/net/socket/connect_phases_test.cpp": 1,
    "tests/net/stream/readable_test.cpp": 2,
    "tests/net/stream/reader_model.hpp": 1,
    "tests/net/stream/reader_test.cpp": 1,
    "tests/sched/fibers/coroutine_forms_test.cpp": 23,  # the wrong forms, one right one
    "tests/sched/fibers/joinall_test.cpp": 1,
    "tests/sched/fibers/pool_model_test.cpp": 1,
    "tests/sched/fibers/supervise_test.cpp": 1,
    "tests/sched/fibers/teardown_model_test.cpp": 2,
    "tests/sched/fibers/writing_a_wait_test.cpp": 1,
    "tests/sched/scheduler/wait_test.cpp": 1,
    "tests/sched/sync/queue_cancel_test.cpp": 1,
    "tests/sched/sync/queue_test.cpp": 1,
    "tests/sched/threads/blocking_test.cpp": 3,
}
source = None


def check(*names):
    return subprocess.run([sys.executable, source / "tools/check_coroutines.py", *names],
                          cwd=source, capture_output=True, text=True)


class CheckCoroutines(unittest.TestCase):
    def findings(self, code):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "code.cpp")
            file.write_text(code)
            done = check(file)
        self.assertEqual(done.returncode, 1 if done.stdout else 0, done.stderr)
        return [line.split(": ", 1) for line in done.stdout.splitlines()]

    def assert_found(self, code, word):
        found = self.findings(code)
        self.assertEqual(len(found), 1, (code, found))
        self.assertIn(word, found[0][1])

    def test_choices_beside_co_await_are_found(self):
        for code in ('co_await take(b ? "FATAL" : "page " + text);',
                     "co_await (k == 0 ? a() : b());",
                     'std::string s = n > 1 ? co_await str(1) : std::string("none");',
                     "co_return k > 1 ? co_await str(1) : L;",
                     "auto f = [&]() -> task<> { co_await with_timeout(1s, k ? a() : b()); };"):
            with self.subTest(code):
                self.assert_found(f"task<> f() {{ {code} }}", "choice beside co_await")

    def test_choices_elsewhere_are_left_alone(self):
        for code in ("auto s = b ? one : other; co_await take(s);", "co_return k > 1 ? x : L;",
                     "co_await take(text); // or not?", 'co_await take("?");',
                     "co_await with_group([&](task_group& g) -> task<> { use(b ? 1 : 2); });"):
            with self.subTest(code):
                self.assertEqual(self.findings(f"task<> f() {{ {code} }}"), [])

    def test_a_throw_with_co_await_is_found(self):
        self.assert_found("task<> f() { throw std::runtime_error(co_await str(1)); }", "throw of")
        named = "task<> f() { auto s = co_await str(1); throw error(s); }"
        self.assertEqual(self.findings(named), [])

    def test_lambdas_that_own_their_captures_are_found(self):
        for code in ("co_await blocking([text] { use(text); });",
                     "co_await fun([=] { return c; });",
                     "co_await spawn([c]() -> task<> { co_await len(c); }).join();"):
            with self.subTest(code):
                self.assert_found(f"task<> f() {{ {code} }}", "lambda with captures")
        for code in ("auto f = [text] { use(text); }; co_await blocking(f);",
                     "co_await with_group([&](task_group& g) -> task<> { g.spawn(f); });",
                     "co_await with_group([&](task_group& g) -> task<> {\n"
                     "  g.spawn([c]() -> task<> { co_await len(c); });\n});",
                     "co_await take(all[i]);"):
            with self.subTest(code):
                self.assertEqual(self.findings(f"task<> f() {{ {code} }}"), [])

    def test_braced_temporaries_are_found(self):
        for code in ("co_await f({L, 1});", "co_await f(agg{.a = L});",
                     'co_await f(agg{L + "x", 2});'):
            with self.subTest(code):
                self.assert_found(f"task<> f() {{ {code} }}", "braced temporary")
        for code in ("agg a{L, 1}; co_await f(a);", "co_await f({.count = 1});", "co_await f({});",
                     "co_await f(std::string_view{L});", "if (b) { use(L); } co_await f();"):
            with self.subTest(code):
                self.assertEqual(self.findings(f"task<> f() {{ {code} }}"), [])

    def test_coroutines_that_await_in_conditions_only_are_found(self):
        for code in ("if (n > 0 && co_await f(n)) stop();", "if (!co_await yes()) co_return;",
                     "switch (co_await f(n)) { case 0: stop(); break; default: break; }"):
            with self.subTest(code):
                self.assert_found(f"task<> g(int n) {{ {code} }}", "in conditions only")
        for code in ("const bool ok = co_await yes(); if (ok) stop();",
                     "int i = 0; while (co_await f(i)) ++i;",
                     "if (auto s = co_await f(n); s > 0) stop();",
                     "if (co_await yes()) co_await f(n);"):
            with self.subTest(code):
                self.assertEqual(self.findings(f"task<> g(int n) {{ {code} }}"), [])

    def test_coroutines_whose_captures_are_gone_are_found(self):
        for code in ("spawn([x]() -> task<> { co_await use(x); }());",
                     "spawn([&]() -> task<> { co_return; }());",
                     "auto kept = [x](int) -> ringlet::task<int> { co_return x; }(1);"):
            with self.subTest(code):
                self.assert_found(f"void f() {{ {code} }}", "reads captures of a lambda")
        for code in ("spawn([x]() -> task<> { co_await use(x); });",
                     "spawn([](int x) -> task<> { co_await use(x); }(1));",
                     "run([&]() -> task<> { co_return; }());",
                     "const int n = [x] { return x; }();"):
            with self.subTest(code):
                self.assertEqual(self.findings(f"void f() {{ {code} }}"), [])

    def test_guards_and_permits_that_are_dropped_are_found(self):
        for code in ("co_await m.lock();", "co_await this->m_->lock(5s);",
                     "co_await m.lock_shared();", "if (b) { co_await m.lock(); }",
                     "co_await places.reserve();", "co_await limit.acquire(1, 5s);",
                     "semaphore s(2); co_await s.acquire();",
                     "bounded_semaphore s(2); co_await all.s.acquire(2);"):
            with self.subTest(code):
                self.assert_found(f"task<> f() {{ int n = 0; {code} }}", "is dropped")
        for code in ("const auto guard = co_await m.lock();", "co_await limit.acquire();",
                     "co_await limit.acquire(max(1, n));", "(co_await s.acquire(1, 5s)).consume();",
                     "v.reserve(3); co_await f();", "co_await m.lock_all();",
                     "m.lock(); co_await f();"):
            with self.subTest(code):
                self.assertEqual(self.findings(f"task<> f() {{ int n = 0; {code} }}"), [])

    def test_structured_bindings_are_no_lambdas(self):
        for code in ("const auto [a, b] = co_await f();", "auto& [a, b] = co_await f([] {});"):
            with self.subTest(code):
                self.assertEqual(self.findings(f"task<> f() {{ {code} }}"), [])

    def test_a_finding_has_a_place_and_can_be_switched_off(self):
        code = "task<> f() {\n  /* ?\n */ co_await g(a,\n    b ? c : d);%s\n}\n"
        [[place, _]] = self.findings(code % "")
        self.assertTrue(place.endswith("code.cpp:4"), place)
        self.assertEqual(self.findings(code % "  // check_coroutines: off"), [])

    def test_wrong_calls_exit_with_2(self):
        self.assertEqual(check().returncode, 2)
        missing = check("missing.cpp")
        self.assertEqual(missing.returncode, 2)
        self.assertIn("missing.cpp: cannot be read", missing.stderr)

    def test_this_tree_has_only_known_findings(self):
        found = collections.Counter(line.split(":")[0] for line in
                                    check(*FOLDERS).stdout.splitlines())
        self.assertEqual(dict(found), KNOWN, check(*FOLDERS).stdout)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} SOURCE_ROOT [TEST...]")
    source = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
