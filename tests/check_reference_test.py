#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/check_reference.py: what it reports, what it accepts, and no findings in this project; and
what tools/header_examples.py makes of an example.

usage: check_reference_test.py SOURCE_ROOT [TEST...]
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

MUTEX = "sched/sync/ringlet/mutex.hpp"
source = None

# A header in which nothing is missing.
COMPLETE = '''\
// lamp: a light that fibers switch.
//
//     lamp desk;
//     desk.on();
#pragma once

#include <ringlet/detail/lamp_state.hpp>

namespace ringlet {

class socket;

/// How bright a lamp is.
enum class level : std::uint8_t {
  /// Not at all.
  off,
  /// As bright as it can be.
  full,
};

/// A light.
///
/// Colours   White only.
/// Errors    None,
///           not even a small one.
/// Cancellation  Loses nothing. A lamp that was to be switched on is
///           as it was.
/// Lifetime  Must outlive its switches.
/// Thread    That of its room.
class lamp {
 public:
  using value_type = level;

  lamp() noexcept = default;
  lamp(const lamp&) = delete;
  lamp& operator=(const lamp&) = delete;
  ~lamp();

  /// Switches it on.
  void on() noexcept { state_ = level::full; }
  void on(level how) noexcept;
  class [[nodiscard]] dark_wait;
  /// Waits until it is dark.
  dark_wait dark(time_limit timeout = forever);

 private:
  int secret() const;
  level state_ = level::off;
};

/// A cheap one.
class small_lamp : public lamp {
 public:
  /// Its power, in watts.
  explicit small_lamp(int watts);
  small_lamp(small_lamp&& other) noexcept;
};

class lamp::dark_wait : public extend::list_wait {
 public:
  result<bool> take();
};

/// Waits until all of them are dark.
/// Errors    None.
/// Cancellation  Loses nothing.
task<bool> all_dark(const lamp& first, const lamp& second);

}  // namespace ringlet

namespace ringlet::detail {

class hidden {
  int a();
};

}  // namespace ringlet::detail
'''


class CheckReference(unittest.TestCase):
    def findings(self, *texts):
        files = [(f"sched/sync/ringlet/{text.split()[1].rstrip(':,')}.hpp", text) for text in texts]
        return [message for _, _, message in check_reference.findings(files, [])]

    def assert_found(self, old, new, *words):
        self.assertEqual(COMPLETE.count(old), 1, old)
        found = self.findings(COMPLETE.replace(old, new))
        self.assertEqual(len(found), len(words), (new, found))
        for word, message in zip(words, found):
            self.assertIn(word, message)

    def test_a_complete_header_has_no_findings(self):
        self.assertEqual(self.findings(COMPLETE), [])

    def test_heads_without_a_name_or_an_example_are_found(self):
        self.assert_found("// lamp: a light", "// lamp, a light", "'// lamp: what it is.'")
        self.assert_found("//     lamp desk;\n//     desk.on();", "// desk.on();", "no example")

    def test_missing_comments_are_found(self):
        for line, name in (("  /// Not at all.\n", "off has"),
                           ("/// How bright a lamp is.\n", "level has"),
                           ("  /// Switches it on.\n", "on() has"),
                           ("  /// Its power, in watts.\n", "small_lamp() has"),
                           ("/// A cheap one.\n", "small_lamp has")):
            with self.subTest(line):
                self.assert_found(line, "", name)
        self.assert_found("class socket;", "inline constexpr int volts = 230;", "volts has")
        self.assert_found("class socket;", "using socket = int;", "socket has")
        self.assert_found("class socket;", "template <class T>\nconcept bulb = 1;", "bulb has")
        self.assert_found("class socket;", "struct plug {\n  int pins = 2;\n};",
                          "plug has", "pins has")
        self.assert_found("  /// Waits until it is dark.\n", "", "dark() has")
        self.assert_found("  class [[nodiscard]] dark_wait;", "  class bulb;", "bulb has")

    def test_an_overload_needs_no_comment_behind_the_first_only(self):
        self.assert_found("  void on(level how) noexcept;",
                          "  /// Off.\n  void off();\n  void on(level how);", "on() has")
        self.assert_found("  void on(level how) noexcept;",
                          "  void on(level how) noexcept;\n  void off();", "off() has")

    def test_missing_fields_are_found(self):
        self.assert_found("/// Thread    That of its room.\n", "", "lamp has no field Thread",
                          "small_lamp has no field Thread")
        self.assert_found("/// Lifetime  Must outlive its switches.\n", "",
                          "lamp has no field Lifetime", "small_lamp has no field Lifetime")
        self.assert_found("/// Errors    None,\n///           not even a small one.\n", "",
                          "dark() waits, and has no field Errors")
        self.assert_found("/// Errors    None.\n", "", "all_dark() waits, and has no field Errors")
        self.assert_found("/// Cancellation  Loses nothing.\ntask", "task",
                          "all_dark() waits, and has no field Cancellation")

    def test_what_waits_is_found_by_what_it_returns(self):
        old = "/// Cancellation  Loses nothing.\ntask<bool> all_dark("
        for new in ("template <class T>\nextend::sleep_wait all_dark(",
                    "borrowing_task<int> all_dark(", "async_generator<lamp> all_dark(",
                    "inline lamp::dark_wait all_dark("):
            with self.subTest(new):
                self.assert_found(old, new, "all_dark() waits, and has no field Cancellation")
        end = "const lamp& second);"
        for new in ("auto all_dark(",
                    "template <class T>\nrequires makes_no_task<T>\nauto all_dark("):
            with self.subTest(new):
                self.assert_found(old, new)
        for new in ("const lamp& second) -> task<int>;",
                    "const lamp& second) { return borrowing_task<int>(first); }"):
            with self.subTest(new):
                text = COMPLETE.replace(old, "auto all_dark(").replace(end, new)
                self.assertEqual(len(self.findings(text)), 1, self.findings(text))

    def test_fields_in_another_form_are_found(self):
        for old, new, word in (
            ("/// Thread    That", "/// Thread  That", "begins in column 8: 10"),
            ("/// Thread    That", "/// Thread: That", "'Thread:' is not a field"),
            ("/// A light.\n", "/// A light. Thread: any.\n", "'Thread:' is not a field"),
            ("///           not even", "/// not even", "begins in column 0: 10"),
            ("///           not even", "///   not even", "begins in column 2: 10"),
            ("//     lamp desk;", "//   lamp desk;", "code begins in column 2: 4"),
        ):
            with self.subTest(new):
                found = self.findings(COMPLETE.replace(old, new))
                self.assertTrue(any(word in message for message in found), found)

    def test_fields_out_of_order_are_found(self):
        thread = "/// Thread    That of its room.\n"
        text = COMPLETE.replace(thread, "")
        for before, word in (("/// Lifetime  Must", "Lifetime belongs before Thread"),
                             ("/// Errors    None,", "Lifetime belongs before Thread"),
                             ("/// Colours", "Colours belongs before Thread")):
            with self.subTest(before):
                found = self.findings(text.replace(before, thread + before))
                self.assertTrue(any(word in message for message in found), found)
        self.assert_found(thread, thread + thread, "Thread is there twice")

    def test_values_need_neither_lifetime_nor_thread(self):
        old = "class socket;"
        for new in ("int pins_ = 2;", "result<int> pins_;"):
            self.assert_found(old, f"/// A.\nclass plug {{\n public:\n\n private:\n  {new}\n}};")
        for new in ("std::unique_ptr<int> pins_;", "extend::owner pins_;"):
            self.assert_found(old, f"/// A.\nclass plug {{\n private:\n  {new}\n}};",
                              "plug has no field Lifetime", "plug has no field Thread")
        self.assert_found(old, "/// A.\nclass plug : public detail::metal {};",
                          "plug has no field Lifetime", "plug has no field Thread")

    def test_fields_of_a_base_in_another_header_count(self):
        other = "// tube: a lamp.\n//\n//     tube one;\n\nnamespace ringlet {\n\n/// One.\n" \
                "class tube : public lamp {\n public:\n  ~tube();\n};\n\n}\n"
        self.assertEqual(self.findings(COMPLETE, other), [])
        self.assertEqual(len(self.findings(COMPLETE, other.replace("public lamp", "lamps"))), 2)

    def test_this_tree_has_no_findings(self):
        found = list(check_reference.findings(check_reference.public_headers(source), CHECKED))
        shown = "\n".join(f"{path}:{line}: {message}" for path, line, message in found)
        self.assertEqual(found, [], shown)


class HeaderExamples(unittest.TestCase):
    def made_of(self, *code):
        example = headers.Example(3, list(code))
        lines = "\n".join(header_examples.example_in("example_mutex", MUTEX, example))
        self.assertIn("using namespace around_mutex;", lines)
        outside, _, inside = lines.partition("inline task<> example() {\n")
        return outside, inside

    def test_examples_avoid_what_compilers_get_wrong(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "examples.hpp")
            file.write_text(header_examples.header_of(source, CHECKED)[0])
            tool = [sys.executable, "-B", source / "tools/check_coroutines.py", file]
            found = subprocess.run(tool, capture_output=True, text=True).stdout
            self.assertEqual(found, "", file.read_text() if found else "")

    def test_statements_become_a_coroutine(self):
        outside, inside = self.made_of("mutex m;", "const auto g = co_await m.lock();")
        self.assertNotIn("mutex m", outside)
        self.assertIn(f'#line 3 "{MUTEX}"\nmutex m;\nconst auto g', inside)

    def test_definitions_stay_outside_and_what_follows_becomes_a_coroutine(self):
        outside, inside = self.made_of("mutex m;", "", "task<int> f(int x) {", "  co_return x;",
                                       "}", "", "co_await f(1);")
        self.assertIn(f'#line 3 "{MUTEX}"\nmutex m;\n\ntask<int> f(int x) {{', outside)
        self.assertIn(f'#line 8 "{MUTEX}"\n\nco_await f(1);', inside)
        self.assertEqual(self.made_of("struct job {", "  int x;", "};")[1], "")

    def test_lambdas_calls_and_loops_are_no_definitions(self):
        for code in ("greenlet<int> g([](int n) -> task<int> {", "for (;;) {", "if (f(x)) {",
                     "const auto f = [&](int x) {", "co_await with_group([&](task_group& g) {",
                     "while (const auto x = co_await f()) {"):
            with self.subTest(code):
                self.assertIn(code, self.made_of(code, "  use(x);", "});")[1])

    def test_examples_are_found_in_all_comments(self):
        text = ("// a: b.\n//\n//     one();\n//\n//     two();\n//\n// Text.\n//\n"
                "//     three();\n"
                "#pragma once\n/// A text\n///     that is no example.\n///\n///     four();\n"
                "int x;\n  // for\n\n//     five();\n")
        found = [(one.line, one.code) for one in headers.examples_of(text)]
        self.assertEqual(found, [(3, ["one();", "", "two();"]), (9, ["three();"]),
                                 (14, ["four();"])])  # fmt: skip


# The components whose headers are complete.
CHECKED = [
    "core/base", "core/coro", "core/engine",
    "net", "net/names", "net/socket", "net/stream",
    "sched/fibers", "sched/scheduler", "sched/sync",
]  # fmt: skip

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} SOURCE_ROOT [TEST...]")
    source = pathlib.Path(sys.argv.pop(1)).resolve()
    sys.path.insert(0, str(source / "tools"))
    import check_reference
    import header_examples
    import headers

    unittest.main()
