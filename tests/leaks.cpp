// A listener that compares what the process holds before and after each case, and repeats the cases
// after which it held more.
// SPDX-License-Identifier: MIT
#include "leaks.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "support/holdings.hpp"
#include "support/sanitized.hpp"

namespace ringlet::test {
namespace {

// How many times a case has to leave more behind, after a first run that fills caches.
constexpr int growths_of_a_leak = 3;

struct suspect {
  const doctest::TestCaseData* test;
  int number;  // among all cases that are not skipped permanently, counted from 1
};
// Where the listener stores the suspects; null during the repetitions.
std::vector<suspect>* suspects = nullptr;

holdings growth(const holdings& before, const holdings& after) {
  holdings more;
  std::transform(after.begin(), after.end(), before.begin(), more.begin(), std::minus<>());
  return more;
}
bool is_growth(const holdings& more) {
  return std::any_of(more.begin(), more.end(), [](std::ptrdiff_t amount) { return amount > 0; });
}

// Finds the suspects. doctest keeps the names of a case's subcases until the next case begins, so
// the measurement spans from one beginning to the next.
class listener : public doctest::IReporter {
 public:
  explicit listener(const doctest::ContextOptions& options) : no_skip_(options.no_skip) {}

  void test_case_start(const doctest::TestCaseData& test) override {
    end_case();
    running_ = {&test, ++number_};
    before_ = held_now();
  }
  void test_case_skipped(const doctest::TestCaseData& test) override {
    if (!test.m_skip || no_skip_) ++number_;
  }
  void test_case_end(const doctest::CurrentTestCaseStats& end) override {
    // A case that failed may have stopped anywhere.
    if (end.failure_flags != 0) running_.test = nullptr;
  }
  void test_run_end(const doctest::TestRunStats&) override { end_case(); }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}

 private:
  void end_case() {
    if (suspects == nullptr || running_.test == nullptr) return;
    if (is_growth(growth(before_, held_now()))) suspects->push_back(running_);
  }

  bool no_skip_;
  int number_ = 0;
  suspect running_ = {};
  holdings before_ = {};
};

// The least growth of each amount when `tests`, which is one case, runs again. Changes `status` if
// that run fails.
holdings growth_of_each_run(doctest::Context& tests, int& status) {
  status |= tests.run();
  holdings least;
  least.fill(PTRDIFF_MAX);
  holdings before = held_now();
  for (int i = 0; i < growths_of_a_leak && is_growth(least); ++i) {
    status |= tests.run();
    const holdings after = held_now();
    const holdings more = growth(before, after);
    for (std::size_t kind = 0; kind < more.size(); ++kind) {
      least[kind] = std::min(least[kind], more[kind]);
    }
    before = after;
  }
  return least;
}

void report(const suspect& leaking, const holdings& more) {
  std::printf("%s:%u: LEAK: the test case \"%s\" leaves more behind each time it runs:",
              leaking.test->m_file.c_str(), leaking.test->m_line, leaking.test->m_name);
  const char* separator = " ";
  for (std::size_t kind = 0; kind < more.size(); ++kind) {
    if (more[kind] <= 0) continue;
    std::printf("%s%s +%td", separator, holding_names[kind], more[kind]);
    separator = ", ";
  }
  std::printf("\n");
}

}  // namespace

int run_without_leaks(doctest::Context& tests) {
  if (sanitized) return tests.run();
  std::vector<suspect> found;
  suspects = &found;
  int status = tests.run();
  suspects = nullptr;
  // The numbering does not depend on the selection by name.
  tests.clearFilters();
  tests.setOption("minimal", true);
  for (const suspect& again : found) {
    tests.setOption("first", again.number);
    tests.setOption("last", again.number);
    const holdings more = growth_of_each_run(tests, status);
    if (!is_growth(more)) continue;
    report(again, more);
    status = EXIT_FAILURE;
  }
  return status;
}

}  // namespace ringlet::test

REGISTER_LISTENER("leaks", 1, ringlet::test::listener);
