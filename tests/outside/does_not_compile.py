#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Misuse that the compiler refuses: its first error is a message of ringlet with the remedy.

Each case is compiled like the tests of sched, without generating code. The headers are precompiled
once, because parsing them takes a second for each of some fifty cases.

usage: does_not_compile.py BUILD_ROOT [TEST...]
"""

import pathlib
import subprocess
import tempfile

import support

PROLOGUE = """
#include <ringlet/as_result.hpp>
#include <ringlet/barrier.hpp>
#include <ringlet/blocking.hpp>
#include <ringlet/mutex.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/promise.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/select_each.hpp>
#include <ringlet/select_set.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/spawn_after.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/watch.hpp>
#include <ringlet/when_all.hpp>
#include <ringlet/with_timeout.hpp>
using namespace ringlet;
using namespace ringlet::extend;
using namespace std::chrono_literals;
"""


class DoesNotCompile(support.Case):
    @classmethod
    def setUpClass(cls):
        command, cls.folder = support.test_compiler()
        made = tempfile.TemporaryDirectory()
        cls.addClassCleanup(made.cleanup)
        header = pathlib.Path(made.name) / "prologue.hpp"
        header.write_text(PROLOGUE)
        cls.command = command + ["-fsyntax-only", "-include", str(header), "-x", "c++", "-"]
        precompiled = command + ["-x", "c++-header", str(header), "-o", f"{header}.gch"]
        subprocess.run(precompiled, cwd=cls.folder, check=True, timeout=support.DEADLINE * 4)

    def first_error(self, body):
        done = subprocess.run(self.command, cwd=self.folder, input=body, text=True,
                              capture_output=True, timeout=support.DEADLINE * 4)
        errors = [line for line in done.stderr.splitlines() if "error:" in line]
        return errors[0] if errors else ""

    def test_correct_code_compiles(self):
        """Otherwise the cases below would prove nothing."""
        self.assertEqual(self.first_error("""
            task<> work() { co_return; }
            task<> right(scheduler_handle here) {
              if (!here.post([] { spawn(work()); })) co_return;
              auto f = [] { return 1; };
              co_await blocking(f);
            }"""), "")

    def test_a_coroutine_cannot_be_posted(self):
        error = self.first_error("""
            void wrong(scheduler_handle here) { here.post([]() -> task<> { co_return; }); }""")
        self.assertIn("post a function that calls spawn()", error)

    def test_a_wait_cannot_be_posted(self):
        error = self.first_error("""
            void wrong(scheduler_handle here) { here.post([] { return sleep(1s); }); }""")
        self.assertIn("post a function that calls spawn()", error)

    def test_a_coroutine_cannot_be_a_blocking_call(self):
        error = self.first_error("""
            task<> wrong() {
              auto f = []() -> task<int> { co_return 1; };
              (void)co_await blocking(f);
            }""")
        self.assertIn("await that in this fiber, or call run() in the function", error)

    def assert_refused(self, statements, cure):
        """POOL stands for a pool whose member is called, GROUP ... END for the body of a group
        that calls a member of the group."""
        statements = statements.replace("POOL ", "pool(3).").replace("END", "co_return; });")
        statements = statements.replace("GROUP ", "co_await with_group("
                                        "[&](task_group& g) -> task<> { g.")
        error = self.first_error(f"""
            task<int> work(int& n) {{ co_return n; }}
            task<> wrong() {{ {statements} co_return; }}""")
        self.assertIn(cure, error)

    def test_a_kept_wait_cannot_be_awaited_as_it_is(self):
        for kept in ("sleep(1ms)", "q.pop()", "select(q.pop(), sleep(3ms))", "as_result(q.pop())"):
            with self.subTest(kept):
                self.assert_refused(f"queue<int> q; auto kept = {kept}; co_await kept;",
                                    "write co_await std::move(wait)")

    def test_a_kept_call_that_borrows_cannot_be_awaited_as_it_is(self):
        for kept in ("with_timeout(1s, q.pop())", "with_timeout(1s, body)",
                     "with_timeout(1s, with_group(members))", "with_group(members)",
                     "as_result(with_group(members))"):
            with self.subTest(kept):
                self.assert_refused(f"""
                    queue<int> q;
                    auto body = [](deadline_scope&) -> task<> {{ co_return; }};
                    auto members = [](task_group&) -> task<> {{ co_return; }};
                    auto kept = {kept}; co_await kept;""", "write co_await std::move(call)")

    def test_a_kept_wait_can_be_moved_into_co_await(self):
        self.assertEqual(self.first_error("""
            task<> right() {
              queue<int> q;
              auto pop = q.pop();
              auto members = [](task_group&) -> task<> { co_return; };
              auto call = with_group(members);
              task<> other = with_group(members);
              (void)co_await std::move(pop);
              co_await std::move(call);
              co_await other;
            }"""), "")

    def test_an_error_code_cannot_be_the_value_of_what_may_fail(self):
        for wrong in ("queue<std::error_code> q;", "promise<std::error_code> p;",
                      "result<std::error_code> r = std::error_code();"):
            with self.subTest(wrong):
                self.assert_refused(wrong, "could not tell a value from a failure: wrap the code")

    def test_a_fiber_cannot_be_awaited(self):
        for named in ("f", "spawn(sleep_a_bit())"):
            with self.subTest(named):
                self.assertIn("write co_await f.get()", self.first_error(f"""
                    task<> sleep_a_bit() {{ co_await sleep(1ms); }}
                    task<> wrong() {{ auto f = spawn(sleep_a_bit()); co_await {named}; }}"""))

    def test_other_types_cannot_be_awaited(self):
        self.assert_refused("co_await 1;", "only tasks and waits can be awaited")

    def test_a_function_that_wants_a_reference_cannot_be_spawned(self):
        for call in ("spawn(work, n);", "spawn_after(1s, work, n);", "POOL try_spawn(work, n);",
                     "co_await POOL apply(work, n);",
                     "co_await POOL spawn_within(1s, work, n);", "GROUP spawn(work, n); END",
                     "GROUP spawn_after(1s, work, n); END"):
            with self.subTest(call):
                self.assert_refused(f"int n = 1; {call}", "in std::ref()")

    def test_functions_that_return_no_task_cannot_be_spawned(self):
        for call in ("spawn([] {});", "spawn([](int) {}, 1);", "with_group([](task_group&) {});",
                     "with_group(group_options{}, [](task_group&) {});", "GROUP spawn([] {}); END",
                     "spawn_after(1s, [] {});", "GROUP spawn_after(1s, [] {}); END",
                     "spawn_every(1s, [] {});", "GROUP spawn_every(1s, [](int) {}, 1); END",
                     "spawn_every(1s, [](int& n) { return work(n); }, 1);",
                     "POOL try_spawn([](int) {}, 1);",
                     "co_await POOL apply([] {});", "co_await POOL spawn_within(1s, [] {});"):
            with self.subTest(call):
                self.assert_refused(call, "must return a task")

    def test_callbacks_that_must_not_wait_cannot_return_a_task(self):
        for call, cure in {
                "barrier all(2, [&n] { return work(n); });":
                    "let one of the fibers act after arrive_and_wait()",
                "future<int> f; f.on_ready([&n] { return work(n); });": "call spawn() in it",
                "future<int> f; f.on_ready([&n](future<int>) { return work(n); });":
                    "call spawn() in it",
                "watch<int> level(1); level.update([](int& of) { return work(of); });":
                    "it cannot wait, so it is no task"}.items():
            with self.subTest(call):
                self.assert_refused(f"int n = 1; {call}", cure)

    def test_a_kept_task_cannot_be_copied_into_a_call(self):
        for call in ("spawn(kept)", "co_await with_timeout(1s, kept)",
                     "co_await when_all(kept, yield())"):
            with self.subTest(call):
                self.assertRegex(self.first_error(f"""
                    task<> work() {{ co_return; }}
                    task<> wrong() {{ auto kept = work(); {call}; }}"""), "delete|std::move")

    def test_what_is_no_call_cannot_be_awaited_with_a_limit_or_beside_others(self):
        for call in ("when_all(sleep(1s), X)", "when_any(X)", "shield(1s, X)", "as_result(X)",
                     "with_timeout(1s, X)", "timeout_or(1s, X, 5)", "move_on_after(1s, X)"):
            for what, cure in {"work": "call the function that returns one",
                               "spawn(work(n))": "write f.get() for its value",
                               "many": "spawn its tasks in a with_group()"}.items():
                with self.subTest(call=call, what=what):
                    self.assert_refused("int n = 1; std::vector<task<>> many; "
                                        f"(void)co_await {call.replace('X', what)};", cure)

    def test_a_lock_cannot_be_taken_in_the_fiber_of_a_call(self):
        for call in ("when_all(m.lock(), sleep(1s))", "when_any(m.lock())"):
            with self.subTest(call):
                self.assert_refused(f"mutex m; co_await {call};", "lock in the calling fiber")

    def test_a_wait_cannot_be_spawned(self):
        for call in ("spawn(q.pop());", "spawn_after(1s, q.pop());", "POOL try_spawn(q.pop());",
                     "co_await POOL spawn(q.pop());", "GROUP spawn(q.pop()); END"):
            with self.subTest(call):
                self.assert_refused(f"queue<int> q; {call}",
                                    "write a function that returns task<> and awaits it")

    def test_a_task_cannot_be_spawned_later(self):
        for call in ("spawn_after(1s, work(n));", "GROUP spawn_after(1s, work(n)); END"):
            with self.subTest(call):
                self.assert_refused(f"int n = 1; {call}", "pass the function and its arguments")

    def test_run_takes_a_task_only(self):
        for call in ("run(X)", "run_main(X)", "run_main(X, options())"):
            for what, cure in {"serve": "as in run_main(serve())",
                               "[]() -> task<> { co_return; }": "as in run_main(serve())",
                               "sleep(1s)": "write a function that returns task<>"}.items():
                with self.subTest(call=call, what=what):
                    self.assertIn(cure, self.first_error(f"""
                        task<> serve();
                        void wrong() {{ {call.replace("X", what)}; }}"""))

    def test_run_main_takes_a_task_whose_value_can_be_an_exit_code(self):
        self.assertIn("whose value is the exit code", self.first_error("""
            task<std::string> serve();
            void wrong() { run_main(serve()); }"""))

    def test_a_call_that_is_not_awaited_is_a_warning(self):
        for statement in ("work();", "sleep(1s);", "auto kept = work();", "auto kept = sleep(1s);"):
            with self.subTest(statement):
                self.assertRegex(self.first_error(f"""
                    #pragma GCC diagnostic error "-Wall"
                    #pragma GCC diagnostic error "-Wunused-result"
                    task<> work() {{ co_return; }}
                    task<> wrong() {{ {statement} co_return; }}"""), "nodiscard|kept")

    def test_select_refuses_calls_that_take_before_they_end(self):
        self.assert_refused("co_await select(sleep(1s), yield());", "readable()")

    def test_select_refuses_a_kept_wait(self):
        self.assert_refused("auto kept = sleep(1s); co_await select(kept, sleep(1s));",
                            "write std::move(wait)")

    def test_select_set_refuses_what_makes_no_wait(self):
        for call in ("q.pop()", "[&] { return yield(); }", "[&](int) { return q.pop(); }"):
            with self.subTest(call):
                self.assert_refused(f"queue<int> q; select_set calls; calls.add({call});",
                                    "write [&] { return inbox.pop(); }")

    def test_select_each_refuses_what_makes_no_wait(self):
        self.assert_refused("co_await select_each(1, [](int) { return sleep(1s); });",
                            "write [](queue<int>& from)")

    def assert_wait_refused(self, base, members, use, cure):
        error = self.first_error(f"""
            struct own : {base} {{
              own() : {base}(forever) {{}}
              {members}
              static const wait_type type;
              static bool begin(frame_record& at) {{ static own self; {use} }}
            }};""")
        self.assertIn(cure, error)

    def test_wait_that_lacks_a_hook(self):
        make = 'return make_type<own>("own").name == nullptr;'
        begin = "return begin_alone(self, at);"
        cancel = "void on_cancel(cancel_reason) noexcept {}"
        now, watch = "bool try_now();", "void watch() noexcept;"
        for base, members, use, cure in (
                ("wait_base", "", make, "needs a public `void on_cancel"),
                ("wait_base", "int on_cancel(cancel_reason);", make, "needs a public `void on_can"),
                ("wait_base", cancel + "void describe(std::string&);", make, "has a describe() of"),
                ("list_wait", watch, begin, "needs a public `bool try_now()`"),
                ("list_wait", now, begin, "needs a public `void watch() noexcept`"),
                ("list_wait", now + watch + "int is_external = 1;", begin, "replaces a default"),
                ("list_wait", now + watch + "bool lingers();", begin, "replaces a default")):
            with self.subTest(f"{base} with {members}"):
                self.assert_wait_refused(base, members, use, cure)

    def test_wait_that_wakes_its_fiber_behind_the_back_of_a_select(self):
        self.assertIn("wake", self.first_error("""
            struct own : two_phase_wait {
              own() : two_phase_wait(forever) {}
              void end() { wake(); }
            };"""))


if __name__ == "__main__":
    support.main()
