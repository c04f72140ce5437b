// runtime and run_main_on_all: how several schedulers begin and end together.
//
// Method: run_main_on_all() runs in a process of its own, as users' programs do; runtime runs in
// the test's. Checks are made on the test's thread, after the end.
// SPDX-License-Identifier: MIT
#include <ringlet/deadlock.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/run.hpp>
#include <ringlet/run_on.hpp>
#include <ringlet/runtime.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/shutdown.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/child.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

#ifdef RINGLET_TEST_THREAD_SANITIZER
constexpr bool children_have_threads = false;
#else
constexpr bool children_have_threads = true;
#endif

// A program whose main() is `return run_main_on_all(main, settings)`.
template <class Main>
child_end program(const Main& main, runtime_options settings = {.threads = 3, .name = "srv"}) {
  return run_in_child([&] {
    const int code = run_main_on_all(main, settings);
    std::fflush(stderr);
    ::_exit(code);
  });
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

task<> until(const std::atomic<int>& number, int value) {
  while (number != value) co_await sleep(100us);
}

// How often a thread of this process has given up its processor in order to wait.
std::uint64_t waits_of(pid_t thread) {
  std::ifstream status("/proc/self/task/" + std::to_string(thread) + "/status");
  const std::string wanted = "voluntary_ctxt_switches:";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(wanted)) return std::stoull(line.substr(wanted.size()));
  }
  FAIL("no such thread");
  return 0;
}

// Long enough that a report is read before the program would be ended, which is as much later.
constexpr auto time_to_report = sanitized ? 3s : 1s;

// Standard error of this process, while the test runs.
class captured_errors {
 public:
  captured_errors() : before_(::dup(STDERR_FILENO)) {
    std::fflush(stderr);
    REQUIRE(::pipe(ends_) == 0);
    ::dup2(ends_[1], STDERR_FILENO);
  }
  captured_errors(const captured_errors&) = delete;
  captured_errors& operator=(const captured_errors&) = delete;
  ~captured_errors() {
    ::dup2(before_, STDERR_FILENO);
    for (const int fd : {before_, ends_[0], ends_[1]}) ::close(fd);
  }
  /// Blocks until `part` has been written. Returns all that has been.
  std::string read_until(const std::string& part) {
    while (!contains(text_, part)) {
      std::array<char, 4096> piece;
      const ssize_t count = ::read(ends_[0], piece.data(), piece.size());
      if (count <= 0) break;
      text_.append(piece.data(), static_cast<std::size_t>(count));
    }
    return text_;
  }

 private:
  int before_;
  int ends_[2] = {-1, -1};
  std::string text_;
};

// The example of docs/fork_and_threads.md.

task<std::string> in_capitals(std::string word) {  // runs on the second thread
  for (char& letter : word) letter = static_cast<char>(letter - 'a' + 'A');
  co_return word;
}

task<std::string> ask(scheduler_handle there) {  // runs on the first
  const remote_fiber<std::string> answer = there.spawn(in_capitals, "tea");
  co_return co_await answer.get(5s);
}

std::string ask_a_second_thread() {
  runtime second({.threads = 1, .name = "second"});  // starts the thread, or throws
  return run(ask(second.handle(0)));
}  // ends the fibers of the second thread, then the thread

}  // namespace

TEST_SUITE_BEGIN("runtime");

// Exit codes and signals. The child of a process with ThreadSanitizer cannot start threads.

TEST_CASE("run_main_on_all runs a main task on each scheduler, the first on the calling thread" *
          doctest::skip(!children_have_threads)) {
  const child_end end = run_in_child([] {
    const auto calling = std::this_thread::get_id();
    std::atomic<int> mains = 0;
    std::atomic<bool> is_right = true;
    const auto main = [&](std::size_t k) -> task<> {
      ++mains;
      if ((std::this_thread::get_id() == calling) != (k == 0)) is_right = false;
      if (scheduler_index() != k || scheduler_count() != 3) is_right = false;
      co_return;
    };
    const int code = run_main_on_all(main, {.threads = 3});
    ::_exit(code == 0 && mains == 3 && is_right ? 0 : 1);
  });
  CHECK(end.status == 0);
  CHECK(end.errors.empty());
}

TEST_CASE("the exit code is the first that is not 0, in the order of the schedulers" *
          doctest::skip(!children_have_threads)) {
  const auto all_good = []() -> task<> { co_return; };
  CHECK(program(all_good).status == 0);
  const auto codes = [](std::size_t k) -> task<int> {
    co_await sleep((3 - k) * 2ms);
    co_return static_cast<int>(k) * 7;
  };
  CHECK(program(codes).status == 7);
}

TEST_CASE("the first error ends all, and is reported with the name of its scheduler" *
          doctest::skip(!children_have_threads)) {
  const auto fail_on_two = [](std::size_t k) -> task<> {
    if (k != 2) co_await sleep(1h);
    co_await sleep(2ms);
    throw std::runtime_error("no such luck");
  };
  const child_end end = program(fail_on_two);
  CHECK(end.status == 1);
  CHECK(end.errors == "scheduler \"srv/2\": no such luck\n");
}

TEST_CASE("a further error, of a main task that is being ended, is reported, too" *
          doctest::skip(!children_have_threads)) {
  const auto fail_twice = [](std::size_t k) -> task<> {
    if (k == 0) throw std::runtime_error("first");
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
      throw std::runtime_error("second");
    }
  };
  const child_end end = program(fail_twice, {.threads = 2, .name = "srv"});
  CHECK(end.status == 1);
  CHECK(contains(end.errors, "scheduler \"srv/0\": first\n"));
  CHECK(contains(end.errors, "of scheduler \"srv/1\" failed: second"));
}

TEST_CASE("SIGINT and SIGTERM kill all main tasks, and give exit codes 130 and 143" *
          doctest::skip(!children_have_threads)) {
  for (const int number : {SIGINT, SIGTERM}) {
    const child_end end = run_in_child([number] {
      std::atomic<int> begun = 0;
      std::atomic<int> unwound = 0;
      const auto main = [&](std::size_t k) -> task<> {
        ++begun;
        if (k == 1) {
          co_await until(begun, 3);
          ::kill(::getpid(), number);
        }
        try {
          co_await sleep(1h);
        } catch (const cancelled&) {
          ++unwound;
          throw;
        }
      };
      const int code = run_main_on_all(main, {.threads = 3});
      ::_exit(unwound == 3 ? code : 1);
    });
    CHECK(end.status == 128 + number);
    CHECK(end.errors.empty());
  }
}

TEST_CASE("shutdown_requested() on one scheduler latches for all" *
          doctest::skip(!children_have_threads)) {
  const child_end end = run_in_child([] {
    std::atomic<int> begun = 0;
    std::atomic<int> ready = 0;
    const auto main = [&](std::size_t k) -> task<int> {
      if (k == 0) {
        ++begun;
        co_await shutdown_requested();
        co_await until(ready, 2);
        co_return 5;
      }
      co_await until(begun, 1);
      if (k == 1) ::kill(::getpid(), SIGTERM);
      while (!shutting_down()) co_await sleep(100us);
      co_await shutdown_requested();  // over at once
      co_await sleep(1ms);            // not cancelled
      ++ready;
      co_return 6;
    };
    ::_exit(run_main_on_all(main, {.threads = 3}));
  });
  CHECK(end.status == 5);
}

TEST_CASE("a main task that ignores the request is killed after the shutdown timeout" *
          doctest::skip(!children_have_threads)) {
  const child_end end = run_in_child([] {
    std::atomic<int> begun = 0;
    const auto main = [&](std::size_t k) -> task<> {
      if (k == 0) {
        ++begun;
        co_await shutdown_requested();
        co_return;
      }
      co_await until(begun, 1);
      ::kill(::getpid(), SIGTERM);
      co_await sleep(1h);
    };
    ::_exit(run_main_on_all(main, {.threads = 2, .each = {.shutdown_timeout = 100ms}}));
  });
  CHECK(end.status == 143);
}

TEST_CASE("a main task that ended before the shutdown timeout is not said to be killed" *
          doctest::skip(!children_have_threads)) {
  const auto main = [](std::size_t k) -> task<> {
    if (k == 1) ::kill(::getpid(), SIGTERM);
    co_await shutdown_requested();
    if (k == 1) co_await sleep(1h);
  };
  const child_end end =
      program(main, {.threads = 3, .name = "srv", .each = {.shutdown_timeout = 100ms}});
  CHECK(end.status == 143);
  CHECK(end.errors ==
        "ringlet: the main task of scheduler \"srv/1\" did not end within 0.1 s after the signal, "
        "and is killed now\n");
}

TEST_CASE("a second signal ends the program at once" * doctest::skip(!children_have_threads)) {
  const auto stubborn = [](std::size_t k) -> task<> {
    if (k == 1) {
      ::kill(::getpid(), SIGINT);
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        ::kill(::getpid(), SIGINT);
        while (true) ::pause();
      }
    }
    co_await sleep(1h);
  };
  CHECK(program(stubborn, {.threads = 2}).status == 130);
}

TEST_CASE("the program ends with code 70 when a scheduler computes without an end" *
          doctest::skip(!children_have_threads)) {
  const auto busy = [](std::size_t k) -> task<> {
    if (k == 1) {
      ::kill(::getpid(), SIGINT);
      while (true) ::pause();
    }
    co_await sleep(1h);
  };
  const child_end end =
      program(busy, {.threads = 2, .name = "srv", .each = {.shutdown_timeout = 100ms}});
  CHECK(end.status == 70);
  CHECK(contains(end.errors, "scheduler \"srv/0\" waits for scheduler \"srv/1\""));
}

TEST_CASE("run_main_on_all restores the dispositions, and the affinity of the calling thread" *
          doctest::skip(!children_have_threads)) {
  const child_end end = run_in_child([] {
    cpu_set_t before;
    ::sched_getaffinity(0, sizeof before, &before);
    struct sigaction action_before;
    ::sigaction(SIGINT, nullptr, &action_before);
    std::atomic<int> pinned = 0;
    const auto main = [&]() -> task<> {
      cpu_set_t now;
      ::sched_getaffinity(0, sizeof now, &now);
      if (CPU_COUNT(&now) == 1) ++pinned;
      co_return;
    };
    const int code = run_main_on_all(main, {.threads = 2, .pin = true});
    cpu_set_t after;
    ::sched_getaffinity(0, sizeof after, &after);
    struct sigaction action_after;
    ::sigaction(SIGINT, nullptr, &action_after);
    const bool is_restored =
        CPU_EQUAL(&before, &after) && action_after.sa_handler == action_before.sa_handler;
    ::_exit(code == 0 && pinned == 2 && is_restored ? 0 : 1);
  });
  CHECK(end.status == 0);
}

TEST_CASE("schedulers that wait only for each other report a deadlock, each with its fibers" *
          doctest::skip(!children_have_threads)) {
  const auto wait_for_nothing = [](std::size_t k) -> task<> {
    event nothing;
    if (k == 0) {
      const auto there = []() -> task<> {
        event never_there;
        co_await never_there.wait();
      };
      co_await run_on(1, there);
    }
    co_await nothing.wait();
  };
  const child_end end = program(wait_for_nothing);
  CHECK(end.status == 1);
  CHECK(contains(end.errors, "deadlock"));
  for (const char* part : {"srv/0", "srv/1", "srv/2", "run_on", "scheduler \"srv/1\""}) {
    CHECK_MESSAGE(contains(end.errors, part), end.errors);
  }
}

TEST_CASE("a scheduler that sleeps while another one works is not deadlocked" *
          doctest::skip(!children_have_threads)) {
  const child_end end = run_in_child([] {
    std::atomic<event*> waiting = nullptr;
    const auto main = [&](std::size_t k) -> task<> {
      if (k == 1) {
        event done;
        waiting = &done;
        co_await done.wait();  // only scheduler 0 can end this
        co_return;
      }
      for (int i = 0; i < 20; ++i) co_await sleep(1ms);
      const auto set = [&] { waiting.load()->set(); };
      co_await run_on(1, set);
    };
    ::_exit(run_main_on_all(main, {.threads = 2}));
  });
  CHECK(end.status == 0);
  CHECK(end.errors.empty());
}

TEST_CASE("many messages between schedulers that sleep are not taken for a deadlock" *
          doctest::skip(!children_have_threads)) {
  const child_end end = run_in_child([] {
    const auto main = [](std::size_t k) -> task<> {
      const auto nothing = []() -> task<> { co_return; };
      for (int i = 0; i < 3000; ++i) co_await run_on((k + 1) % scheduler_count(), nothing);
    };
    ::_exit(run_main_on_all(main, {.threads = 3}));
  });
  CHECK(end.status == 0);
  CHECK(end.errors.empty());
}

// All or none.

// Not with UndefinedBehaviorSanitizer, which makes pipes to look at virtual tables.
TEST_CASE("if one engine cannot be made, no main task starts, and the error names the scheduler" *
          doctest::skip(sanitized || !children_have_threads)) {
  std::atomic<int> begun = 0;
  const auto main = [&]() -> task<> {
    ++begun;
    co_return;
  };
  const child_end end = run_in_child([&] {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 12;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const int code = run_main_on_all(main, {.threads = 16, .name = "srv"});
    std::fflush(stderr);
    ::_exit(begun == 0 ? code : 99);
  });
  CHECK(end.status == 1);
  CHECK(contains(end.errors, "scheduler \"srv/"));
  CHECK(contains(end.errors, "cannot be started"));
}

TEST_CASE("run_main_on_all reports bad options in a line" * doctest::skip(!children_have_threads)) {
  const auto nothing = []() -> task<> { co_return; };
  const child_end end = program(nothing, {.threads = 1025});
  CHECK(end.status == 1);
  CHECK(contains(end.errors, "runtime_options::threads is 1025; it must be from 0 to 1024\n"));
}

TEST_CASE("bad options are rejected before any thread starts, or by the first engine") {
  CHECK_THROWS_AS(runtime({.threads = 1025}), std::invalid_argument);
  CHECK_THROWS_AS(runtime({.threads = 2, .each = {.sizes = {.submission_entries = 3}}}),
                  std::invalid_argument);
}

// The end.

TEST_CASE("a runtime with mains ends when all of them have returned") {
  std::atomic<int> returned = 0;
  const auto main = [&](std::size_t k) -> task<> {
    co_await sleep(k * 1ms);
    ++returned;
  };
  runtime all(main, {.threads = 3});
  all.join();
  CHECK(returned == 3);
  all.join();  // a second call does nothing
  all.stop();
}

TEST_CASE("a main task that returns leaves its fibers running until the last one has returned") {
  std::atomic<int> ticks = 0;
  std::atomic<bool> was_cancelled = false;
  const auto main = [&](std::size_t k) -> task<> {
    if (k == 1) {
      spawn([&]() -> task<> {
        try {
          for (;;) {
            co_await sleep(100us);
            ++ticks;
          }
        } catch (const cancelled&) {
          was_cancelled = true;
          throw;
        }
      });
      co_return;
    }
    const int before = ticks;
    while (ticks < before + 5) co_await sleep(100us);
  };
  runtime all(main, {.threads = 2});
  all.join();
  CHECK(ticks >= 5);
  CHECK(was_cancelled);
}

TEST_CASE("join throws the error of the first main that failed, with its type") {
  const auto main = [](std::size_t k) -> task<> {
    if (k == 1) throw std::out_of_range("too far");
    co_await sleep(1h);
  };
  runtime all(main, {.threads = 3});
  CHECK_THROWS_AS(all.join(), std::out_of_range);
}

TEST_CASE("no main task begins before f has returned on all schedulers") {
  std::promise<scheduler_handle> first;
  std::atomic<int> begun = 0;
  bool was_early = false;
  const auto main = [&]() -> task<> {
    ++begun;
    co_return;
  };
  const auto f = [&](std::size_t k) {
    if (k == 0) {
      first.set_value(scheduler_handle());
    } else {
      // The first scheduler takes this call after the turn in which it has called f.
      std::thread([&] { first.get_future().get().call([&] { was_early = begun != 0; }); }).join();
    }
    return main();
  };
  runtime both(f, {.threads = 2});
  both.join();
  CHECK(!was_early);
  CHECK(begun == 2);
}

// For ThreadSanitizer: the values are no atomics.
TEST_CASE("main tasks see what f has done on all schedulers") {
  for (int round = 0; round < 50; ++round) {
    std::array<int, 4> done{};
    std::atomic<int> right = 0;
    const auto main = [&]() -> task<> {
      if (std::ranges::all_of(done, [](int value) { return value == 1; })) ++right;
      co_return;
    };
    const auto f = [&](std::size_t k) {
      done[k] = 1;
      return main();
    };
    runtime all(f, {.threads = done.size()});
    all.join();
    CHECK(right == 4);
  }
}

TEST_CASE("if f throws on one scheduler, no main task begins") {
  std::atomic<int> begun = 0;
  const auto main = [&]() -> task<> {
    ++begun;
    co_return;
  };
  const auto f = [&](std::size_t k) {
    if (k == 1) throw std::runtime_error("no port");
    return main();
  };
  runtime both(f, {.threads = 3});
  CHECK_THROWS_WITH(both.join(), "no port");
  CHECK(begun == 0);
}

TEST_CASE("join throws fiber_cancelled when a main task was killed by the program") {
  const auto main = [](std::size_t k) -> task<> {
    if (k == 1) extend::current().kill();
    co_await sleep(1h);
  };
  runtime all(main, {.threads = 2, .name = "srv"});
  std::string what;
  try {
    all.join();
  } catch (const std::system_error& error) {
    CHECK(error.code() == errc::fiber_cancelled);
    what = error.what();
  }
  CHECK(contains(what, "the main task of scheduler \"srv/1\" was killed"));
}

TEST_CASE("an error of a main that join has not thrown is reported by the destructor") {
  const child_end end = run_in_child([] {
    const auto main = []() -> task<> {
      throw std::runtime_error("on purpose");
      co_return;
    };
    runtime all(main, {.threads = 1});
  });
  if (children_have_threads) CHECK(contains(end.errors, "on purpose"));
}

TEST_CASE("stop ends main tasks and fibers on all schedulers, from any thread and scheduler") {
  for (int from = -1; from < 2; ++from) {
    std::atomic<int> begun = 0;
    std::atomic<int> unwound = 0;
    std::atomic<runtime*> itself = nullptr;
    const auto waiting = [&]() -> task<> {
      ++begun;
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        ++unwound;
        throw;
      }
    };
    const auto main = [&](std::size_t k) -> task<> {
      spawn(waiting);
      if (static_cast<int>(k) == from) {
        while (begun != 3 || itself == nullptr) co_await sleep(100us);
        itself.load()->stop();
      }
      co_await waiting();
    };
    runtime all(main, {.threads = 2});
    itself = &all;
    if (from == -1) {
      while (begun != 4) std::this_thread::yield();
      all.stop();
    }
    all.join();
    CHECK(unwound == 4);
  }
}

TEST_CASE("a runtime without mains runs what other threads spawn, until it is destroyed") {
  std::atomic<int> sum = 0;
  std::atomic<bool> was_cancelled = false;
  {
    runtime workers({.threads = 2});
    CHECK(workers.size() == 2);
    const auto add = [&](std::size_t k) -> task<> {
      co_await yield();
      sum += static_cast<int>(k) + 1;
    };
    workers.call_on_all(add);
    CHECK(sum == 3);
    const auto fail_on_one = [](std::size_t k) -> task<> {
      if (k == 1) throw std::runtime_error("on one");
      co_return;
    };
    CHECK_THROWS_WITH(workers.call_on_all(fail_on_one), "on one");
    workers.spawn(1, [&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        was_cancelled = true;
        throw;
      }
    });
    workers.call(1, [] {});  // the fiber has begun, or will be refused
  }
  CHECK(was_cancelled);
}

TEST_CASE("a runtime without main tasks causes no wake-up while it is idle") {
  runtime workers({.threads = 3});
  std::vector<pid_t> threads;
  for (std::size_t k = 0; k < workers.size(); ++k) {
    threads.push_back(workers.call(k, [] { return ::gettid(); }));
  }
  // A scheduler may wake once to return memory, within a second. These times are fixed, because
  // nothing may happen in the second one.
  std::this_thread::sleep_for(1100ms);
  std::vector<std::uint64_t> before;
  for (const pid_t thread : threads) before.push_back(waits_of(thread));
  std::this_thread::sleep_for(1s);
  for (std::size_t k = 0; k < threads.size(); ++k) CHECK(waits_of(threads[k]) == before[k]);
  for (std::size_t k = 0; k < threads.size(); ++k) {
    workers.call(k, [] {});  // a wake-up would have been seen
    while (waits_of(threads[k]) == before[k]) std::this_thread::yield();
  }
}

TEST_CASE("dump shows how many fibers are ready, and how many posts have needed a wake-up") {
  runtime workers({.threads = 2, .name = "crew"});
  const scheduler_handle there = workers.handle(1);
  const auto post_many = [&there] {  // while it is awake
    for (int i = 0; i < 100; ++i) {
      const post_result posted = there.post([] {});
      CHECK(posted == post_result::accepted);
    }
  };
  workers.call(1, post_many);
  const auto look = [] {
    const auto nothing = []() -> task<> { co_return; };
    for (int i = 0; i < 2; ++i) spawn(nothing);
    return dump();
  };
  const std::string text = workers.call(1, look);
  std::uint64_t posts = 0;
  std::uint64_t wakes = 0;
  const std::size_t at = text.find("    2 ready; ");
  REQUIRE(at != text.npos);
  REQUIRE(std::sscanf(text.c_str() + at, "    2 ready; %" SCNu64 " posts, %" SCNu64 " wake-ups\n",
                      &posts, &wakes) == 2);
  CHECK(posts >= 102);
  CHECK(wakes + 100 <= posts);
}

TEST_CASE("dump names each scheduler") {
  runtime workers({.threads = 2, .name = "crew"});
  std::atomic<int> begun = 0;
  const auto wait_there = [&]() -> task<> {
    ++begun;
    co_await sleep(1h);
  };
  workers.spawn(1, wait_there);
  while (begun == 0) std::this_thread::yield();
  const std::string text = workers.dump();
  CHECK(contains(text, "scheduler crew/0"));
  CHECK(contains(text, "scheduler crew/1"));
  CHECK(contains(text, "sleep"));
  workers.stop();
  workers.join();
  CHECK(contains(workers.dump(), "ending or has ended"));
}

TEST_CASE("a scheduler that computes delays only its own fibers") {
  std::atomic<bool> may_end = false;
  std::atomic<int> turns = 0;
  std::atomic<bool> is_computing = false;
  const auto main = [&](std::size_t k) -> task<> {
    if (k == 0) {
      is_computing = true;
      while (!may_end) {
      }
      co_return;
    }
    while (!is_computing) co_await yield();
    for (; turns < 1000; ++turns) co_await sleep(1us);
    may_end = true;
  };
  runtime all(main, {.threads = 2});
  all.join();
  CHECK(turns == 1000);
}

TEST_CASE("an end that waits for a scheduler that computes names that scheduler") {
  std::atomic<bool> may_end = false;
  std::atomic<bool> is_computing = false;
  const auto main = [&](std::size_t k) -> task<> {
    if (k != 1) co_await sleep(1h);
    is_computing = true;
    while (!may_end) std::this_thread::yield();
  };
  captured_errors errors;
  runtime all(main, {.threads = 3, .name = "srv", .each = {.shutdown_timeout = time_to_report}});
  while (!is_computing) std::this_thread::yield();
  all.stop();
  for (const std::string waiting : {"\"srv/0\"", "\"srv/2\""}) {
    errors.read_until("scheduler " + waiting + " waits for scheduler \"srv/1\"");
  }
  may_end = true;
  all.join();
}

TEST_CASE("an end that waits for fibers elsewhere names their schedulers, also beside own fibers") {
  std::atomic<bool> may_end = false;
  std::atomic<int> computing = 0;
  const auto compute = [&]() -> task<> {
    ++computing;
    while (!may_end) std::this_thread::yield();
    co_return;
  };
  runtime workers({.threads = 2, .name = "crew"});
  const auto main = [&]() -> task<> {
    const auto stay = []() -> task<> { co_await shield(1h, sleep(1h)); };
    spawn(stay);
    co_await yield();  // it begins
    for (const std::size_t k : {0U, 1U, 1U}) workers.spawn(k, compute);
    co_await until(computing, 2);  // the third has to wait for the second
  };
  captured_errors errors;
  std::string text;
  std::thread reader([&] {
    text = errors.read_until(" on scheduler \"crew/1\": not ended within ");
    may_end = true;
  });
  run(main(), {.shutdown_timeout = time_to_report, .name = "desk"});
  reader.join();
  CHECK(contains(text, "these fibers did not end within "));
  CHECK(contains(text,
                 "scheduler \"desk\" waits for 1 fiber on scheduler \"crew/0\", "
                 "2 fibers on scheduler \"crew/1\": not ended within "));
}

TEST_CASE("a runtime that is destroyed by its own fiber aborts" *
          doctest::skip(!children_have_threads)) {
  CHECK(aborts_with("a runtime was destroyed by one of its own fibers", [] {
    auto workers = std::make_unique<runtime>(runtime_options{.threads = 1});
    auto destroy = [&] { workers.reset(); };
    workers->call(0, destroy);
  }));
}

TEST_CASE("a child of fork() may destroy the parent's runtime, which continues in the parent") {
  auto workers = std::make_unique<runtime>(runtime_options{.threads = 2});
  CHECK(run_in_child([&] { workers.reset(); }).status == 0);
  CHECK(aborts_with("in a child of fork()", [&] { workers->stop(); }));
  CHECK(aborts_with("in a child of fork()", [&] { workers->call(0, [] {}); }));
  CHECK(workers->call(1, [] { return 5; }) == 5);
}

TEST_CASE("a number that the runtime does not have aborts" *
          doctest::skip(!children_have_threads)) {
  CHECK(aborts_with("a runtime has no scheduler with this number",
                    [] { runtime({.threads = 1}).handle(1); }));
}

TEST_CASE("a second thread answers a fiber of the first, and ends with its runtime") {
  CHECK(ask_a_second_thread() == "TEA");
}

TEST_SUITE_END();
