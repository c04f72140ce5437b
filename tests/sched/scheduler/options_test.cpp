// Options: what happens to unhandled failures, and where the other settings go. run_test.cpp tests
// the shutdown timeout, with the ends of a run.
//
// Method: the test's handler notes failures. The default handler writes to standard error, so it
// runs in a child process, whose scripted clock decides what a second is.
// SPDX-License-Identifier: MIT
#include <ringlet/deadlock.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/fiber_local.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/options.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "sched/scripted_run.hpp"
#include "support/allocations.hpp"
#include "support/child.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<int> fail(const char* sentence) {
  throw std::runtime_error(sentence);
  co_return 0;
}

task<> fail_by_code(std::errc code) {
  throw std::system_error(std::make_error_code(code));
  co_return;
}

// Notes "ID name: sentence;" for each failure.
options noting(std::string& log) {
  options settings;
  settings.on_unhandled_error = [&log](const unhandled_error& failure) {
    log += std::to_string(failure.id) + " " + std::string(failure.name) + ": ";
    try {
      std::rethrow_exception(failure.error);
    } catch (const std::exception& error) {
      log += std::string(error.what()) + ";";
    }
  };
  return settings;
}

// What the default handler prints in a child that runs this.
template <class Main>
std::string printed(const Main& main) {
  const child_end end = run_in_child([&] {
    scripted_engine engine;
    run_on(engine, main());
  });
  CHECK(end.status == 0);
  return end.errors;
}

// Appends the line of the innermost await in this file; 0 where none is known.
void note_lines(const unhandled_error& failure, std::vector<std::uint32_t>& lines) {
  std::uint32_t line = 0;
  for (const std::source_location& site : failure.awaits) {
    if (std::string_view(site.file_name()).ends_with("options_test.cpp") && line == 0)
      line = site.line();
  }
  lines.push_back(line);
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_SUITE_BEGIN("options");

// Unhandled failures

// row: HB-07
TEST_CASE("an unhandled failure is passed to the handler once, when the last handle is dropped") {
  std::string log;
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    std::optional<fiber<int>> first = spawn(fail, "not seen");
    std::optional<fiber<int>> second = first;
    first->set_name("bad");
    co_await first->join();
    first.reset();
    CHECK(log.empty());
    second.reset();
    CHECK(log == "2 bad: not seen;");
  };
  run_on(engine, main(), noting(log));
  CHECK(log == "2 bad: not seen;");
}

TEST_CASE("a failure without a handle is passed to the handler at the fiber's end") {
  std::string log;
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    spawn(fail, "dropped");
    co_await yield();
    CHECK(log == "2 : dropped;");
  };
  run_on(engine, main(), noting(log));
}

TEST_CASE("a handled failure is not passed to the handler") {
  std::string log;
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    {
      const auto got = spawn(fail, "got");
      CHECK_THROWS(co_await got.get());
      const auto moved_out = spawn(fail, "got");
      CHECK_THROWS(co_await fiber(moved_out).get());
      const auto inspected = spawn(fail, "inspected");
      co_await inspected.join();
      CHECK(inspected.error() != nullptr);
    }
    CHECK_THROWS(co_await spawn(fail, "got from a temporary").get());
    co_return;
  };
  run_on(engine, main(), noting(log));
  CHECK(log.empty());
}

TEST_CASE("a join and a get that timed out do not count as handling a failure") {
  std::string log;
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto joined = spawn(fail, "joined");
    co_await joined.join();
    const auto late = spawn([]() -> task<> {
      co_await sleep(5ms);
      throw std::runtime_error("late");
    });
    CHECK_THROWS_AS(co_await late.get(1ms), timed_out);
    co_await late.join();
  };
  run_on(engine, main(), noting(log));
  CHECK(log == "3 : late;2 : joined;");
}

TEST_CASE("values, kills and errors that run rethrows are not passed to the handler") {
  std::string log;
  scripted_engine engine;
  const auto main = []() -> task<> {
    spawn([]() -> task<int> { co_return 5; });
    const auto killed = spawn([]() -> task<> { co_await sleep(1h); });
    spawn([]() -> task<> { co_await sleep(1h); });  // cancelled when the main task ends
    co_await yield();
    killed.request_kill();
    co_await killed.join();
    throw std::runtime_error("seen by run");
  };
  CHECK_THROWS_WITH(run_on(engine, main(), noting(log)), "seen by run");
  CHECK(log.empty());
}

TEST_CASE("failures during the end of the run are passed to the handler, too") {
  std::string log;
  scripted_engine engine;
  const auto main = []() -> task<> {
    spawn([]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        throw std::runtime_error("clean-up failed");
      }
    });
    co_await yield();
  };
  run_on(engine, main(), noting(log));
  CHECK(log == "2 : clean-up failed;");
}

// The default handler

// row: HB-07
TEST_CASE("the default handler prints a line on standard error with the fiber and the error") {
  const std::string text = printed([]() -> task<> {
    const auto bad = spawn(fail, "no luck");
    bad.set_name("worker");
    spawn([]() -> task<> {
      throw 42;
      co_return;
    });
    co_await yield();
  });
  CHECK(count(text, "ringlet: fiber 2 \"worker\" failed: no luck (spawned at ") == 1);
  CHECK(count(text,
              "ringlet: fiber 3 failed: an exception that is not a std::exception (spawned at ") ==
        1);
}

TEST_CASE("the default handler prints at most ten lines a second, and counts the rest") {
  const std::string text = printed([]() -> task<> {
    co_await sleep_until(std::chrono::steady_clock::time_point(100s));
    for (int i = 0; i < 25; ++i) spawn(fail, "first second");
    co_await sleep(999ms);
    spawn(fail, "first second");
    co_await sleep(1ms);
    for (int i = 0; i < 3; ++i) spawn(fail, "next second");
    co_await sleep(1s);
    spawn(fail, "last second");
    co_await yield();
  });
  CHECK(count(text, "first second (spawned") == 10);
  CHECK(count(text, "ringlet: 16 more failures of fibers were not printed\n") == 1);
  CHECK(count(text, "next second (spawned") == 3);
  CHECK(count(text, "last second (spawned") == 1);
  CHECK(count(text, "not printed") == 1);
}

TEST_CASE("the default handler shows a failure's spawn site, and its awaits innermost first") {
  std::uint32_t first = std::source_location::current().line();
  const auto failing = []() -> task<> {
    co_await yield();
    throw std::runtime_error("deep");
  };
  const auto calling = [&]() -> task<> { co_await failing(); };
  const auto main = [&]() -> task<> {
    spawn(calling);
    co_await yield();
    co_await yield();
  };
  const std::string text = printed(main);
  CAPTURE(text);
  const auto place = [&](std::uint32_t lines) {
    return "options_test.cpp:" + std::to_string(first + lines);
  };
  CHECK(count(text, "ringlet: fiber 2 failed: deep (spawned at ") == 1);
  CHECK(count(text, place(7) + "; awaited at ") == 1);
  CHECK(count(text, place(2) + ", ") == 1);
  CHECK(count(text, place(5) + ")\n") == 1);
}

TEST_CASE("an exception that was caught is not in the awaits of a later failure") {
  const auto fail_here = [](const char* what) -> task<> {
    co_await yield();
    throw std::runtime_error(what);
  };
  std::vector<std::size_t> awaits;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    awaits.push_back(failure.awaits.size());
  };
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto body = [&]() -> task<> {
      try {
        co_await fail_here("caught");
      } catch (const std::runtime_error&) {
      }
      co_await yield();
      throw std::runtime_error("seen");
    };
    const auto one = spawn(body);
    co_await one.join();
    const auto two = spawn([&]() -> task<> { co_await fail_here("seen"); });
    co_await two.join();
  };
  run_on(engine, main(), settings);
  // The newest handle is dropped first. The outermost await of each failure is in the library's
  // wrapper of the lambda: before it come the two awaits that the exception of `two` passed, and
  // the one of `one`.
  CHECK(awaits == std::vector<std::size_t>{3, 2});
}

TEST_CASE("each failure is reported with its own awaits, even when others have failed since") {
  std::vector<std::uint32_t> lines;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) { note_lines(failure, lines); };
  scripted_engine engine;
  std::uint32_t first = 0;
  const auto main = [&]() -> task<> {
    first = std::source_location::current().line();
    const auto one = [](int) -> task<> { co_await fail_after(0ms, "one"); };
    const auto two = [](int) -> task<> { co_await fail_after(0ms, "two"); };
    std::vector<fiber<>> failed = {spawn(one(1)), spawn(two(2)), spawn(one(3))};
    failed[1].set_name("named");
    co_await joinall(failed);
    failed.erase(failed.begin());
    failed.erase(failed.begin());
    failed.erase(failed.begin());
  };
  run_on(engine, main(), settings);
  CHECK(lines == std::vector<std::uint32_t>{first + 1, first + 2, first + 1});
}

TEST_CASE("a failure that no coroutine threw has no awaits, even after another fiber was killed") {
  std::vector<std::string> reports;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    reports.push_back(fmt::format("{} {}", failure.id, failure.awaits.size()));
  };
  scripted_engine engine;
  const auto main = []() -> task<> {
    {
      const fiber<> killed = spawn(sleep_for(1h));
      co_await yield();
      co_await killed.kill();
    }
    // At the killed fiber's address, as far as the frame pool returns the same memory.
    const fiber<> unstarted = spawn(sleep_for(1h));
    co_await unstarted.kill(std::make_exception_ptr(std::runtime_error("given")));
  };
  run_on(engine, main(), settings);
  CHECK(reports == std::vector<std::string>{"3 0"});
}

TEST_CASE("a failure that a group hides is reported with its awaits, like every failure") {
  std::vector<std::uint32_t> lines;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) { note_lines(failure, lines); };
  scripted_engine engine;
  std::uint32_t first = 0;
  const auto main = [&]() -> task<> {
    const auto member = [](event& door) -> task<> {
      try {
        co_await door.wait();
      } catch (const cancelled&) {
      }
      throw std::runtime_error("hidden");
    };
    first = std::source_location::current().line();
    event door;
    const auto body = [&](task_group& group) -> task<> {
      group.spawn(member(door));
      group.spawn(member(door));
      co_await sleep(1h);
    };
    const auto grouped = [&]() -> task<> { co_await with_group(body); };
    co_await move_on_after(1s, grouped());
  };
  run_on(engine, main(), settings);
  CHECK(lines == std::vector<std::uint32_t>{first - 5, first - 5});
}

TEST_CASE("a failure is reported even without memory for its awaits" *
          doctest::skip(!allocations_are_counted())) {
  std::vector<std::string> reports;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    reports.push_back(fmt::format("{} {}", failure.id, failure.awaits.size()));
  };
  scripted_engine engine;
  const auto main = []() -> task<> {
    std::optional<empty_frame_pool> extras, awaits;
    std::optional<out_of_memory> shortage;
    const auto failing = [&]() -> task<> {
      co_await yield();
      extras.emplace(sizeof(fiber_extras));
      awaits.emplace(sizeof(detail::kept_awaits));
      shortage.emplace();
      throw std::runtime_error(std::string());
    };
    const auto has_failed = [&](const fiber<>& failed) -> task<> {
      co_await failed.join();
      shortage.reset();
      extras.reset();
      awaits.reset();
    };
    const fiber<> without_extras = spawn(failing());
    co_await has_failed(without_extras);
    const fiber<> named = spawn(failing());
    named.set_name("named");
    co_await has_failed(named);
  };
  run_on(engine, main(), settings);
  CHECK(reports == std::vector<std::string>{"3 0", "2 0"});
}

TEST_CASE("the spawn site is the place of the call, with up to six arguments") {
  std::vector<std::uint32_t> lines;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    CHECK(std::string_view(failure.spawned_at.file_name()).ends_with("options_test.cpp"));
    lines.push_back(failure.spawned_at.line());
  };
  scripted_engine engine;
  std::uint32_t first = 0;
  const auto main = [&]() -> task<> {
    const auto fail_all = [](auto...) -> task<> {
      throw std::runtime_error("no");
      co_return;
    };
    first = std::source_location::current().line() + 1;
    spawn(fail_all, 1, 2, 3);
    spawn(fail_all, 1, 2, 3, 4);
    spawn(fail_all, 1, 2, 3, 4, 5);
    spawn(fail_all, 1, 2, 3, 4, 5, 6);
    co_await yield();
  };
  run_on(engine, main(), settings);
  CHECK(lines == std::vector<std::uint32_t>{first, first + 1, first + 2, first + 3});
}

TEST_CASE(
    "the count of unprinted lines is printed when the second is over, without another failure") {
  const std::string text = printed([]() -> task<> {
    co_await sleep_until(std::chrono::steady_clock::time_point(100s));
    for (int i = 0; i < 12; ++i) spawn(fail, "early");
    co_await sleep(999ms);
    std::fprintf(stderr, "before;");
    co_await sleep(2ms);
    std::fprintf(stderr, "after;");
  });
  CHECK(count(text, "before;ringlet: 2 more failures of fibers were not printed\nafter;") == 1);
}

TEST_CASE("the count of unprinted lines is printed when the run ends") {
  const std::string text = printed([]() -> task<> {
    co_await sleep_until(std::chrono::steady_clock::time_point(100s));
    for (int i = 0; i < 12; ++i) spawn(fail, "early");
    co_await yield();
  });
  CHECK(text.ends_with("ringlet: 2 more failures of fibers were not printed\n"));
}

TEST_CASE("a pending count of unprinted lines does not hide a deadlock") {
  scripted_engine engine;
  std::string text;
  const child_end end = run_in_child([&] {
    const auto main = []() -> task<> {
      // Earlier cases may have printed lines in the second in which the clock begins.
      co_await sleep_until(std::chrono::steady_clock::time_point(100s));
      for (int i = 0; i < 12; ++i) spawn(fail, "early");
      event never_set;
      co_await never_set.wait();
    };
    try {
      run_on(engine, main());
    } catch (const deadlock&) {
      std::fprintf(stderr, "deadlock;");
    }
  });
  CHECK(count(end.errors, "deadlock;") == 1);
  CHECK(count(end.errors, "2 more failures of fibers were not printed\n") == 1);
}

TEST_CASE("the default handler prints no line for peers that disconnected") {
  const std::string text = printed([]() -> task<> {
    spawn(fail_by_code, std::errc::connection_reset);
    spawn(fail_by_code, std::errc::broken_pipe);
    spawn(fail_by_code, std::errc::connection_aborted);
    spawn([]() -> task<> {
      throw std::system_error(make_error_code(errc::end_of_stream));
      co_return;
    });
    spawn(fail_by_code, std::errc::no_space_on_device);
    co_await yield();
  });
  CHECK(count(text, "\n") == 1);
  CHECK(count(text, "ringlet: fiber 6 failed") == 1);
}

TEST_CASE("a failure whose handle is dropped after run, or on another thread, is printed") {
  // Its scheduler's options may be destroyed by then.
  std::string log;
  const auto drop = [&](bool on_thread) {
    return run_in_child([&, on_thread] {
      fiber<int> kept;
      const auto main = [&]() -> task<> {
        kept = spawn(fail, "found late");
        kept.set_name("late");
        co_await kept.join();
        if (on_thread) std::thread([last = std::move(kept)] {}).join();
      };
      scripted_engine engine;
      run_on(engine, main(), noting(log));
    });
  };
  CHECK(count(drop(false).errors, "ringlet: fiber 2 \"late\" failed: found late (spawned at ") ==
        1);
  if (sanitized) return;  // under ThreadSanitizer a forked child cannot start threads
  CHECK(count(drop(true).errors, "ringlet: fiber 2 \"late\" failed: found late (spawned at ") == 1);
}

// Other options

TEST_CASE("the sizes in the options reach the engine") {
  options settings;
  settings.sizes.buffer_count = 8;
  settings.sizes.buffer_size = 512;
  const auto main = []() -> task<> {
    extend::engine& engine = current_scheduler().engine();
    CHECK(engine.buffers_free() == 8);
    CHECK(engine.buffers().size() == 512);
    CHECK(engine.name().find("8 buffers") != std::string::npos);
    co_return;
  };
  run(main(), settings);
}

TEST_CASE("the engine named in the options is used, whatever the environment says") {
  const auto first_line = [](options settings, const char* named) {
    return run_in_child([&] {
      ::setenv("RINGLET_ENGINE", named, 1);
      const auto main = []() -> task<> {
        const std::string text = dump();
        std::fprintf(stderr, "%s", text.substr(0, text.find(',')).c_str());
        co_return;
      };
      run(main(), std::move(settings));
    });
  };
  options epoll;
  epoll.engine = engine_kind::epoll;
  CHECK(first_line(epoll, "uring").errors == "scheduler: epoll (128 buffers)");
  CHECK(first_line({}, "epoll").errors == "scheduler: epoll (128 buffers)");
  CHECK(first_line({}, "nonsense").errors ==
        "RINGLET_ENGINE is 'nonsense'; it must be uring or epoll\n");
}

TEST_CASE("the defaults are five seconds to shut down, a handler that prints, and no name") {
  const options settings;
  CHECK(settings.shutdown_timeout == 5s);
  CHECK_FALSE(settings.on_unhandled_error);
  CHECK(settings.name.empty());
  CHECK(settings.engine == engine_kind::automatic);
}

TEST_SUITE_END();
