// supervise: when a failed call is repeated, after which pause, and when it is given up.
//
// Method: the scripted engine's clock moves only when every fiber sleeps, so pauses are exact.
// SPDX-License-Identifier: MIT
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/supervise.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "sched/calls.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Notes the time of each call, in milliseconds since the object's creation, and fails.
class failing_call {
 public:
  explicit failing_call(scripted_engine& engine) : engine_(engine), begin_(engine.now()) {}

  // The duration of each call; the last one holds for all further calls.
  std::vector<std::chrono::milliseconds> durations = {0ms};
  // This many calls fail, then one succeeds.
  std::size_t failures = 1'000'000;
  std::vector<std::int64_t> times;

  task<int> operator()() {
    const std::size_t number = times.size();
    times.push_back((engine_.now() - begin_) / 1'000'000);
    co_await sleep(durations[std::min(number, durations.size() - 1)]);
    if (number < failures) throw std::runtime_error("failure " + std::to_string(number + 1));
    co_return static_cast<int>(number);
  }

 private:
  scripted_engine& engine_;
  steady_ns begin_;
};

options silent() {
  options settings;
  settings.on_unhandled_error = [](const unhandled_error&) {};
  return settings;
}

}  // namespace

TEST_SUITE_BEGIN("supervise");

TEST_CASE("a call that succeeds is made once, and its value is returned") {
  run_scripted([](scripted_engine& engine) -> task<> {
    failing_call call(engine);
    call.failures = 0;
    CHECK(co_await supervise(std::ref(call)) == 0);
    CHECK(call.times == std::vector<std::int64_t>{0});
    CHECK(engine.now() == scripted_engine::start_time);
    static int target = 0;
    const auto owner = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
    const std::unique_ptr<int> owned = co_await supervise(owner);
    CHECK(*owned == 4);
    const auto refer = []() -> task<int&> { co_return target; };
    int& referred = co_await supervise(refer);
    CHECK(&referred == &target);
    const auto nothing = []() -> task<> { co_return; };
    co_await supervise(nothing);
  });
}

TEST_CASE("a call that fails is repeated after pauses that double up to the longest") {
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        failing_call call(engine);
        call.failures = 6;
        const restart_options options{
            .restarts_max = 10, .per = 1min, .pause_first = 10ms, .pause_max = 50ms};
        CHECK(co_await supervise(std::ref(call), options) == 6);
        // 10, 20, 40, 50, 50, 50
        CHECK(call.times == std::vector<std::int64_t>{0, 10, 30, 70, 120, 170, 220});
      },
      silent());
}

TEST_CASE("no pause exceeds the longest, the first one included") {
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        failing_call call(engine);
        call.failures = 2;
        const restart_options options{
            .restarts_max = 10, .per = 1min, .pause_first = 80ms, .pause_max = 50ms};
        co_await supervise(std::ref(call), options);
        CHECK(call.times == std::vector<std::int64_t>{0, 50, 100});
      },
      silent());
}

TEST_CASE("other fibers get their turn without a pause, and a kill takes effect") {
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        failing_call call(engine);
        const restart_options options{
            .restarts_max = 1'000'000, .per = 1min, .pause_first = 0ms, .pause_max = 10ms};
        const fiber<int> supervised = spawn([&]() { return supervise(std::ref(call), options); });
        for (int i = 0; i < 10; ++i) co_await sleep(0s);
        co_await supervised.kill();
        CHECK(supervised.result() == outcome::cancelled);
        CHECK(call.times.size() > 5);
        CHECK(call.times.size() < 30);
      },
      silent());
}

TEST_CASE("the next failure after restarts_max restarts within the window is thrown") {
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        failing_call call(engine);
        const restart_options options{
            .restarts_max = 3, .per = 1min, .pause_first = 10ms, .pause_max = 10ms};
        CHECK(co_await outcome_of(supervise(std::ref(call), options)) == "failure 4");
        CHECK(call.times == std::vector<std::int64_t>{0, 10, 20, 30});
        failing_call never_again(engine);
        const restart_options none{.restarts_max = 0};
        CHECK(co_await outcome_of(supervise(std::ref(never_again), none)) == "failure 1");
      },
      silent());
}

TEST_CASE("restarts are counted within a moving window") {
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        failing_call call(engine);
        call.durations = {20ms};
        call.failures = 10;
        // A failure every 30 ms: at most two restarts are less than 60 ms old.
        restart_options options{
            .restarts_max = 2, .per = 60ms, .pause_first = 10ms, .pause_max = 10ms};
        CHECK(co_await supervise(std::ref(call), options) == 10);
        CHECK(call.times.back() == 300);
        failing_call again(engine);
        again.durations = {20ms};
        options.per = 61ms;
        CHECK(co_await outcome_of(supervise(std::ref(again), options)) == "failure 3");
      },
      silent());
}

TEST_CASE("a call that ran well for the length of the window resets pause and count") {
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        failing_call call(engine);
        call.durations = {0ms, 0ms, 0ms, 100ms, 0ms};
        call.failures = 6;
        const restart_options options{
            .restarts_max = 3, .per = 100ms, .pause_first = 10ms, .pause_max = 1h};
        CHECK(co_await supervise(std::ref(call), options) == 6);
        // Pauses: 10, 20, 40; the fourth call takes 100; then 10, 20, 40 again.
        CHECK(call.times == std::vector<std::int64_t>{0, 10, 30, 70, 180, 200, 240});
      },
      silent());
}

TEST_CASE("failures that a restart follows are reported, and the one that is thrown is not") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        failing_call call(engine);
        const restart_options options{.restarts_max = 2};
        CHECK(co_await outcome_of(supervise(std::ref(call), options)) == "failure 3");
      },
      collecting(reports));
  CHECK(reports == std::vector<std::string>{"failure 1", "failure 2"});
}

TEST_CASE("a report names the fiber whose call has failed") {
  std::uint64_t id = 0;
  std::string name;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    id = failure.id;
    name = failure.name;
  };
  run_scripted(
      [&](scripted_engine& engine) -> task<> {
        failing_call call(engine);
        call.failures = 1;
        const fiber<int> supervised = spawn([&]() { return supervise(std::ref(call)); });
        supervised.set_name("sensor");
        co_await supervised.join();
        CHECK(id == supervised.id());
      },
      settings);
  CHECK(name == "sensor");
}

TEST_CASE("a report has the pause, the number of restarts, and the maximum") {
  std::vector<std::string> said;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    said.emplace_back(failure.then);
    CHECK(failure.spawned_at.line() != 0);
  };
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        failing_call call(engine);
        call.failures = 3;
        const restart_options options{
            .restarts_max = 4, .per = 1min, .pause_first = 25ms, .pause_max = 2s};
        co_await supervise(std::ref(call), options);
        failing_call slow(engine);
        slow.failures = 1;
        co_await supervise(std::ref(slow), {.pause_first = 1500ms});
      },
      settings);
  CHECK(said == std::vector<std::string>{"again in 25 ms (1 of 4)", "again in 50 ms (2 of 4)",
                                         "again in 100 ms (3 of 4)", "again in 1.5 s (1 of 5)"});
}

TEST_CASE("a report has the await chain of its own failure, not of an earlier one") {
  std::vector<std::size_t> awaits;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    awaits.push_back(failure.awaits.size());
  };
  run_scripted(
      [](scripted_engine&) -> task<> {
        int calls = 0;
        const auto call = [&]() {
          ++calls;
          if (calls == 2) throw std::runtime_error("thrown before there is a task");
          return calls < 4 ? fail_after(1ms, "thrown in it") : sleep_for(1ms);
        };
        co_await supervise(std::ref(call));
      },
      settings);
  CHECK(awaits == std::vector<std::size_t>{1, 0, 1});
}

TEST_CASE("kills and scopes around supervise are not failures, in the call or in the pause") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        failing_call slow(engine);
        slow.durations = {10ms};
        const restart_options options{
            .restarts_max = 5, .per = 1min, .pause_first = 10ms, .pause_max = 10ms};
        // Fails at 10, and would fail again at 30.
        CHECK(co_await outcome_of(with_timeout(5ms, supervise(std::ref(slow), options))) ==
              "timed out");
        CHECK(slow.times.size() == 1);
        CHECK(co_await outcome_of(with_timeout(15ms, supervise(std::ref(slow), options))) ==
              "timed out");
        CHECK(slow.times.size() == 2);
        for (const auto moment : {5ms, 15ms, 25ms}) {
          const fiber<int> supervised = spawn([&]() { return supervise(std::ref(slow), options); });
          co_await sleep(moment);
          co_await supervised.kill();
          CHECK(supervised.result() == outcome::cancelled);
        }
        const auto body = [&](task_group& group) -> task<> {
          group.spawn([&]() { return supervise(std::ref(slow), options); });
          co_await sleep(5ms);
          group.cancel();
        };
        CHECK(co_await outcome_of(with_group(body)) == "done");
      },
      collecting(reports));
  CHECK(reports.size() == 3);
}

TEST_CASE(
    "an exception that the fiber is killed with is a failure of the call, but not of a pause") {
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        failing_call slow(engine);
        slow.durations = {10ms};
        const restart_options options{
            .restarts_max = 5, .per = 1min, .pause_first = 10ms, .pause_max = 10ms};
        const fiber<int> supervised = spawn([&]() { return supervise(std::ref(slow), options); });
        const auto given = std::make_exception_ptr(std::runtime_error("given"));
        co_await sleep(5ms);
        supervised.request_kill(given);
        co_await sleep(15ms);
        CHECK(slow.times == std::vector<std::int64_t>{0, 15});
        co_await sleep(8ms);
        co_await supervised.kill(given);
        CHECK(text_of(supervised.error()) == "given");
        CHECK(slow.times.size() == 2);
      },
      silent());
}

TEST_CASE("a limit that passes inside the call is a failure of the call") {
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        int calls = 0;
        const steady_ns begin = engine.now();
        const auto call = [&]() -> task<> {
          co_await with_timeout(1ms, sleep_for(++calls < 3 ? 1h : 0ms));
        };
        const restart_options options{
            .restarts_max = 5, .per = 1min, .pause_first = 10ms, .pause_max = 10ms};
        co_await supervise(call, options);
        CHECK(calls == 3);
        CHECK(engine.now() == begin + 22'000'000);
      },
      silent());
}

TEST_CASE("exceptions from before the task, and any type of exception, are failures") {
  run_scripted(
      [](scripted_engine&) -> task<> {
        int calls = 0;
        const auto call = [&]() -> task<> {
          if (++calls == 1) throw std::runtime_error("no task");
          return [](int number) -> task<> {
            if (number == 2) throw number;
            co_return;
          }(calls);
        };
        co_await supervise(call);
        CHECK(calls == 3);
      },
      silent());
}

TEST_CASE("two calls are supervised independently") {
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        failing_call a(engine), b(engine);
        a.failures = 2;
        const restart_options options{
            .restarts_max = 2, .per = 1min, .pause_first = 10ms, .pause_max = 1h};
        const fiber<int> good = spawn([&]() { return supervise(std::ref(a), options); });
        const fiber<int> bad = spawn([&]() { return supervise(std::ref(b), options); });
        CHECK(co_await good.get() == 2);
        co_await bad.join();
        CHECK(text_of(bad.error()) == "failure 3");
        CHECK(a.times == b.times);
      },
      silent());
}

TEST_SUITE_END();
