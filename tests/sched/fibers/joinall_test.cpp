// joinall: waiting for several fibers at once, by name or in a range.
// SPDX-License-Identifier: MIT
#include <ringlet/joinall.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<> sleep_for(std::chrono::milliseconds time) { co_await sleep(time); }

task<int> sleep_and_answer(std::chrono::milliseconds time, int number) {
  co_await sleep(time);
  co_return number;
}

task<> fail() {
  throw std::runtime_error("not seen by joinall");
  co_return;
}

task<> fail_after(std::chrono::milliseconds time, const char* sentence) {
  co_await sleep(time);
  throw std::runtime_error(sentence);
}

std::vector<fiber<>> sleepers(std::initializer_list<int> times) {
  std::vector<fiber<>> made;
  for (const int time : times) made.push_back(spawn(sleep_for, std::chrono::milliseconds(time)));
  return made;
}

using places = std::vector<std::size_t>;

std::string sentence_of(const std::exception_ptr& error) {
  if (error == nullptr) return "no error";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return known.what();
  } catch (...) {
    return "unknown";
  }
}

}  // namespace

TEST_SUITE_BEGIN("joinall");

TEST_CASE("joinall waits until all fibers have ended, whatever their types") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    const auto a = spawn(sleep_for, 3ms);
    const auto b = spawn(sleep_and_answer, 5ms, 7);
    auto c = spawn(sleep_for, 1ms);
    CHECK(co_await joinall(a, b, c));
    CHECK(engine.now() == begin + 5'000'000);
    CHECK(a.done());
    CHECK(co_await b.get() == 7);
    CHECK(c.done());
  };
  run_on(engine, main());
}

TEST_CASE("joinall takes ranges of handles, and copies them") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    std::vector<fiber<int>> numbers;
    for (int i = 0; i < 10; ++i) numbers.push_back(spawn(sleep_and_answer, 1ms * i, i));
    auto all = joinall(numbers);
    const fiber<int> last = numbers.back();
    numbers.clear();
    CHECK(co_await std::move(all));
    CHECK(co_await last.get() == 9);
    const std::array pair = {spawn(sleep_for, 1ms), spawn(sleep_for, 2ms)};
    CHECK(co_await joinall(pair));
    const std::list<fiber<>> listed(pair.begin(), pair.end());
    CHECK(co_await joinall(listed, 1s));
  };
  run_on(engine, main());
}

TEST_CASE("joinall of an empty range is true at once") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const std::vector<fiber<>> no_fibers;
    CHECK(co_await joinall(no_fibers));
    CHECK(co_await joinall(no_fibers, 0s));
  };
  run_on(engine, main());
}

TEST_CASE("joinall accepts the same fiber more than once") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto a = spawn(sleep_for, 1ms);
    CHECK(co_await joinall(a, a));
    CHECK(co_await joinall(a, a, a, 0s));
    const std::vector twice = {a, a};
    CHECK(co_await joinall(twice));
  };
  run_on(engine, main());
}

TEST_CASE("one limit covers all fibers of a joinall together, and the rest continue") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    // Each ends less than the limit after the previous one.
    const auto a = spawn(sleep_for, 4ms);
    const auto b = spawn(sleep_for, 8ms);
    const auto c = spawn(sleep_for, 12ms);
    CHECK_FALSE(co_await joinall(a, b, c, 5ms));
    CHECK(engine.now() == begin + 5'000'000);
    CHECK(a.done());
    CHECK(b.result() == outcome::pending);
    const std::vector rest = {b, c};
    CHECK_FALSE(co_await joinall(rest, 5ms));
    CHECK(engine.now() == begin + 10'000'000);
    CHECK(co_await joinall(b, c, 5ms));
    CHECK(c.result() == outcome::value);
  };
  run_on(engine, main());
}

TEST_CASE("the limit of joinall counts from the co_await, not from the call") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto a = spawn(sleep_for, 8ms);
    auto all = joinall(a, 5ms);
    co_await sleep(4ms);
    CHECK(co_await std::move(all));
  };
  run_on(engine, main());
}

TEST_CASE("joinall whose limit has passed returns whether all fibers have ended") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    const auto a = spawn(sleep_for, 1ms);
    const auto b = spawn(sleep_for, 2ms);
    CHECK_FALSE(co_await joinall(a, b, 0s));
    CHECK(engine.now() == begin);
    co_await sleep(5ms);
    CHECK(co_await joinall(a, b, -1s));
  };
  run_on(engine, main());
}

TEST_CASE("the limit of joinall may be a point in time") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto a = spawn(sleep_for, 9ms);
    const std::chrono::steady_clock::time_point deadline(std::chrono::nanoseconds(engine.now()) +
                                                         3ms);
    CHECK_FALSE(co_await joinall(a, deadline));
    CHECK(std::chrono::nanoseconds(engine.now()) == deadline.time_since_epoch());
  };
  run_on(engine, main());
}

TEST_CASE("joinall treats failures and kills as ends, and does not throw them") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto bad = spawn(fail);
    const auto gone = spawn(sleep_for, 1h);
    const auto good = spawn(sleep_for, 1ms);
    co_await yield();
    gone.request_kill();
    CHECK(co_await joinall(bad, gone, good));
    CHECK(bad.result() == outcome::error);
    CHECK(bad.error() != nullptr);
    CHECK(gone.result() == outcome::cancelled);
  };
  run_on(engine, main());
}

TEST_CASE("a killed joinall ends at once, and its fibers continue") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    const auto a = spawn(sleep_for, 3ms);
    const auto b = spawn(sleep_for, 1ms);
    const auto joining = spawn([=]() -> task<> { co_await joinall(a, b); });
    co_await yield();
    CHECK(co_await joining.kill());
    CHECK(engine.now() == begin);
    CHECK(joining.result() == outcome::cancelled);
    CHECK(co_await joinall(a, b));
    CHECK(a.result() == outcome::value);
  };
  run_on(engine, main());
}

// Some of them

// row: JN-01
TEST_CASE("joinall with a count is true when that many fibers have ended, and the rest continue") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({5, 1, 3});
    CHECK(co_await joinall(fibers, {.count = 1}));
    CHECK(engine.now() == scripted_engine::start_time + 1'000'000);
    CHECK(co_await joinall(fibers, {.count = 1}));  // that one still counts
    CHECK(engine.now() == scripted_engine::start_time + 1'000'000);
    CHECK(co_await joinall(fibers, {.count = 2}));
    CHECK(engine.now() == scripted_engine::start_time + 3'000'000);
    CHECK_FALSE(fibers[0].done());
    CHECK(co_await joinall(fibers, {}));
    CHECK(fibers[0].done());
  };
  run_on(engine, main());
}

// row: JN-01
TEST_CASE("a count of zero is true at once, and a count above the number of fibers means all") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({5, 1});
    CHECK(co_await joinall(fibers, {.timeout = 0s, .count = 0}));
    const places none = co_await wait_some(fibers, 0);
    CHECK(none.empty());
    CHECK(co_await joinall(fibers, {.count = 3}));
    CHECK(engine.now() == scripted_engine::start_time + 5'000'000);
    const std::vector<fiber<>> no_fibers;
    CHECK(co_await joinall(no_fibers, {.count = 5}));
    CHECK(co_await joinall(no_fibers, {.timeout = 0s, .raise = true}));
    const places of_none = co_await wait_some(no_fibers, join_options::all);
    CHECK(of_none.empty());
  };
  run_on(engine, main());
}

// rows: W12 JN-01
TEST_CASE("one limit covers all fibers of a counted joinall, which returns whether enough ended") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({4, 8, 12});
    CHECK_FALSE(co_await joinall(fibers, {.timeout = 5ms}));
    CHECK(engine.now() == scripted_engine::start_time + 5'000'000);
    CHECK_FALSE(co_await joinall(fibers, {.timeout = 2ms, .count = 2}));
    CHECK(co_await joinall(fibers, {.timeout = 2ms, .count = 2}));
    CHECK(engine.now() == scripted_engine::start_time + 8'000'000);
    CHECK(co_await joinall(fibers, {.timeout = 0s, .count = 2}));
    CHECK_FALSE(co_await joinall(fibers, {.timeout = -1h, .count = 3}));
    CHECK(fibers[2].result() == outcome::pending);
  };
  run_on(engine, main());
}

// rows: W12 JN-02
TEST_CASE("wait_some returns indices in the order of the ends, and the remaining fibers continue") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({9, 2, 6, 1});
    const places two = co_await wait_some(fibers, 2);
    CHECK(two == places{3, 1});
    const places in_time = co_await wait_some(fibers, {.timeout = 5ms});
    CHECK(in_time == places{1, 3, 2});  // those that had ended come first, in the order of the list
    const places all = co_await wait_some(fibers, join_options::all);
    CHECK(all == places{1, 2, 3, 0});
    const places now = co_await wait_some(fibers, {.timeout = 0s, .count = 3});
    CHECK(now == places{0, 1, 2});
  };
  run_on(engine, main());
}

// row: JN-02
TEST_CASE("the limit of wait_some counts from the co_await, and may be a point in time") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({8, 20});
    auto waiting = wait_some(fibers, {.timeout = 5ms});
    co_await sleep(4ms);
    const places in_time = co_await std::move(waiting);
    CHECK(in_time == places{0});
    const std::chrono::steady_clock::time_point deadline(std::chrono::nanoseconds(engine.now()) +
                                                         3ms);
    const places later = co_await wait_some(fibers, {.timeout = deadline});
    CHECK(later == places{0});
    CHECK(std::chrono::nanoseconds(engine.now()) == deadline.time_since_epoch());
  };
  run_on(engine, main());
}

// row: W48
TEST_CASE("a fiber that is listed twice counts twice") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    auto fibers = sleepers({2, 1});
    fibers.push_back(fibers[1]);
    const places two = co_await wait_some(fibers, 2);
    CHECK(two == places{1, 2});
    CHECK(co_await joinall(fibers, {.timeout = 0s, .count = 2}));
    CHECK(co_await joinall(fibers, {.raise = true}));
    const std::vector<fiber<>> only = {fibers[0], fibers[0]};
    const places both = co_await wait_some(only, join_options::all);
    CHECK(both == places{0, 1});
    CHECK(co_await killall(only));
  };
  run_on(engine, main());
}

// With their errors

// rows: W13 JN-01
TEST_CASE(
    "joinall with raise throws the first failure at once, and the remaining fibers continue") {
  scripted_engine engine;
  std::string reported;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    reported += sentence_of(failure.error);
  };
  const auto main = [&]() -> task<> {
    auto fibers = sleepers({1, 9});
    fibers.push_back(spawn(fail_after, 5ms, "later"));
    fibers.push_back(spawn(fail_after, 3ms, "first"));
    CHECK_THROWS_WITH(co_await joinall(fibers, {.raise = true}), "first");
    CHECK(engine.now() == scripted_engine::start_time + 3'000'000);
    CHECK(fibers[1].result() == outcome::pending);
    CHECK(fibers[2].result() == outcome::pending);
    CHECK(co_await joinall(fibers));
    CHECK_THROWS_WITH((void)co_await wait_some(fibers, {.raise = true}),
                      "later");  // now by the list
    fibers.resize(2);
    co_await yield();
    CHECK(reported.empty());
    fibers.push_back(spawn(fail_after, 1ms, "unseen"));
    CHECK(co_await joinall(fibers, {.count = 3}));
  };
  run_on(engine, main(), settings);
  CHECK(reported == "unseen");
}

// rows: W13 JN-01
TEST_CASE("joinall with raise handles no more errors than it counts fibers") {
  scripted_engine engine;
  options settings;
  settings.on_unhandled_error = [](const unhandled_error&) {};
  const auto main = []() -> task<> {
    auto fibers = sleepers({1, 2});
    fibers.push_back(spawn(fail_after, 3ms, "third"));
    CHECK(co_await joinall(fibers, {.count = 2, .raise = true}));
    CHECK_FALSE(co_await joinall(fibers, {.timeout = 500us, .raise = true}));
    co_await fibers[2].join();
    CHECK(co_await joinall(fibers, {.count = 2, .raise = true}));
    CHECK_THROWS_WITH(co_await joinall(fibers, {.timeout = 0s, .raise = true}), "third");
  };
  run_on(engine, main(), settings);
}

// rows: W2 W13
TEST_CASE("joinall with raise throws nothing for a killed fiber, which has not failed") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    auto fibers = sleepers({5, 1});
    fibers[0].request_kill();
    co_await yield();
    CHECK(co_await joinall(fibers, {.raise = true}));
    const places order = co_await wait_some(fibers, {.raise = true});
    CHECK(order == places{0, 1});
    const auto given = spawn(sleep_for, 1h);
    given.request_kill(std::make_exception_ptr(std::runtime_error("given")));
    fibers.push_back(given);
    CHECK_THROWS_WITH(co_await joinall(fibers, {.raise = true}), "given");
  };
  run_on(engine, main());
}

// Ranges

// row: JN-01
TEST_CASE("the range may be a view or a temporary, and may be destroyed before its fibers") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    std::map<int, fiber<>> named;
    for (const int time : {3, 1, 2})
      named[time] = spawn(sleep_for, std::chrono::milliseconds(time));
    const auto first_two = std::views::take(std::views::values(named), 2);
    const places order = co_await wait_some(first_two, join_options::all);
    CHECK(order == places{0, 1});
    auto waiting = wait_some(std::views::values(named), join_options::all);
    auto joining = joinall(std::views::values(named), {.count = 3});
    named.clear();
    const places all = co_await std::move(waiting);
    CHECK(all == places{0, 1, 2});
    CHECK(co_await std::move(joining));
    auto of_temporary = joinall(sleepers({1, 2}), {.count = 2});
    CHECK(co_await std::move(of_temporary));
  };
  run_on(engine, main());
}

// row: JN-01
TEST_CASE("the end of a range may have another type than its beginning") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto fibers = sleepers({1, 2, 9});
    const auto counted = std::views::counted(fibers.begin(), 2) |
                         std::views::take_while([](const fiber<>& each) { return bool(each); });
    CHECK(co_await joinall(counted));
    CHECK_FALSE(fibers[2].done());
    CHECK(co_await killall(counted, 0s));
  };
  run_on(engine, main());
}

// Interrupted

// row: JN-01
TEST_CASE("a fiber that waits for some fibers can be killed at any time, and they continue") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({2, 4});
    const auto waiting = spawn([&]() -> task<> {
      const places both = co_await wait_some(fibers, join_options::all);
      CHECK(both.empty());
    });
    SUBCASE("before it begins") {}
    SUBCASE("before the first end") { co_await sleep(1ms); }
    SUBCASE("between the ends") { co_await sleep(3ms); }
    CHECK(co_await waiting.kill());
    CHECK(waiting.result() == outcome::cancelled);
    CHECK(co_await joinall(fibers));
    CHECK(fibers[0].result() == outcome::value);
    CHECK(fibers[1].result() == outcome::value);
  };
  run_on(engine, main());
}

// row: JN-01
TEST_CASE("success wins: an end that came together with the kill is not lost") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({1, 9});
    fiber<> waiting;
    waiting = spawn([&]() -> task<> {
      const places first = co_await wait_some(fibers, 1);
      log += std::to_string(first.at(0));
      co_await yield();
      log += "not here";
    });
    co_await yield();
    fibers[0].on_done([&] { waiting.request_kill(); });
    co_await waiting.join();
    CHECK(waiting.result() == outcome::cancelled);
  };
  run_on(engine, main());
  CHECK(log == "0");
}

// row: W7
TEST_CASE("joinall does not mistake a limit around it for its own") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto fibers = sleepers({10});
    CHECK_THROWS_AS(co_await with_timeout(1ms, joinall(fibers, {.timeout = 5ms})), timed_out);
    CHECK_THROWS_AS(co_await with_timeout(1ms, joinall(fibers, 5ms)), timed_out);
    CHECK_THROWS_AS((void)co_await with_timeout(1ms, wait_some(fibers, {.timeout = 5ms})),
                    timed_out);
    CHECK_FALSE(co_await with_timeout(5ms, joinall(fibers, {.timeout = 1ms})));
  };
  run_on(engine, main());
}

// killall

// row: JN-06
TEST_CASE("killall ends all fibers, begun or not, in list order, and waits") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto body = [&](char name) -> task<> {
      log += name;
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        log += static_cast<char>(name - 'a' + 'A');
        throw;
      }
    };
    std::vector<fiber<>> fibers = {spawn(body, 'a'), spawn(body, 'b')};
    co_await yield();
    fibers.push_back(spawn(body, 'c'));
    fibers.push_back(fibers[0]);
    fibers.push_back(spawn(body, 'd'));
    CHECK(co_await killall(fibers));
    for (const auto& each : fibers) CHECK(each.result() == outcome::cancelled);
    CHECK(co_await killall(fibers));  // they have ended
    const std::vector<fiber<>> no_fibers;
    CHECK(co_await killall(no_fibers));
    CHECK(co_await killall(no_fibers, 0s));
  };
  run_on(engine, main());
  CHECK(log == "abAB");
  CHECK(engine.now() == scripted_engine::start_time);
}

// rows: W3 JN-06
TEST_CASE("killall lets no fiber begin, although the first to be killed waits") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    std::vector<fiber<>> fibers;
    fibers.push_back(spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        log += "cleanup ";
      }
      co_await sleep(5ms);
      log += "end ";
    }));
    co_await yield();
    const auto body = [&]() -> task<> {
      log += "not here ";
      co_return;
    };
    fibers.push_back(spawn(body));
    fibers[1].on_done([&] { log += "never began "; });
    fibers.push_back(spawn(body));
    CHECK(co_await killall(fibers));
  };
  run_on(engine, main());
  // The fiber that had not begun was queued before the first was woken by its kill.
  CHECK(log == "never began cleanup end ");
}

// rows: W5 JN-06
TEST_CASE("killall returns false when its limit passes, and survivors continue") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto stubborn = []() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
      }
      co_await sleep(10ms);
    };
    std::vector<fiber<>> fibers = {spawn(stubborn), spawn(sleep_for, 1h)};
    co_await yield();
    CHECK_FALSE(co_await killall(fibers, 4ms));
    CHECK(engine.now() == scripted_engine::start_time + 4'000'000);
    CHECK(fibers[0].result() == outcome::pending);
    CHECK(fibers[1].result() == outcome::cancelled);
    CHECK(co_await joinall(fibers, 7ms));
    CHECK(fibers[0].result() == outcome::value);
    CHECK(co_await killall(fibers, 0s));
  };
  run_on(engine, main());
}

// rows: JN-06 GL-09
TEST_CASE("killall with an exception ends each fiber with that exception, begun or not") {
  scripted_engine engine;
  std::string log;
  options settings;
  settings.on_unhandled_error = [](const unhandled_error&) {};
  const auto main = [&]() -> task<> {
    const auto given = std::make_exception_ptr(std::runtime_error("given"));
    std::vector<fiber<>> fibers = sleepers({1000, 2000});
    fibers.push_back(spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const std::runtime_error& error) {
        log += error.what();
      }
      co_await sleep(5ms);
    }));
    co_await yield();
    fibers.push_back(spawn(sleep_for, 1h));
    CHECK_FALSE(co_await killall(fibers, given, 1ms));
    CHECK(fibers[2].result() == outcome::pending);
    for (const std::size_t place : {0u, 1u, 3u}) {
      CHECK(fibers[place].result() == outcome::error);
      CHECK(sentence_of(fibers[place].error()) == "given");
    }
    CHECK(co_await joinall(fibers));
    CHECK(fibers[2].result() == outcome::value);
    CHECK(co_await killall(fibers, given));
    const auto plain = sleepers({1000});
    CHECK(co_await killall(plain, std::exception_ptr()));
    CHECK(plain[0].result() == outcome::cancelled);
  };
  run_on(engine, main(), settings);
  CHECK(log == "given");
}

// row: JN-06
TEST_CASE("a killed killall has still killed all its fibers") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto stubborn = []() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
      }
      co_await sleep(5ms);
    };
    const std::vector<fiber<>> fibers = {spawn(stubborn), spawn(sleep_for, 1h)};
    co_await yield();
    const auto killer = spawn([&]() -> task<> { co_await killall(fibers); });
    co_await sleep(1ms);
    CHECK(co_await killer.kill());
    CHECK(killer.result() == outcome::cancelled);
    CHECK(fibers[0].result() == outcome::pending);
    CHECK(fibers[1].result() == outcome::cancelled);
    co_await fibers[0].join();
  };
  run_on(engine, main());
}

// row: JN-06
TEST_CASE("a fiber that lists itself in a killall ends there, and the other fibers end, too") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    std::vector<fiber<>> fibers = sleepers({1000});
    fiber<> self;
    self = spawn([&]() -> task<> {
      fibers.push_back(self);
      co_await killall(fibers);
    });
    co_await self.join();
    CHECK(self.result() == outcome::cancelled);
    co_await fibers[0].join();
    CHECK(fibers[0].result() == outcome::cancelled);
  };
  run_on(engine, main());
}

// Misuse

TEST_CASE("joining oneself in a list, and joining empty handles, abort") {
  const auto with_itself = [](auto call) {
    return [call] {
      scripted_engine engine;
      const auto main = [&]() -> task<> {
        fiber<> self;
        self = spawn([&]() -> task<> {
          const std::vector<fiber<>> list = {self};
          co_await call(list);
        });
        co_await self.join();
      };
      run_on(engine, main());
    };
  };
  const auto join = [](const auto& list) { return joinall(list); };
  const auto join_some = [](const auto& list) { return joinall(list, {.count = 1}); };
  CHECK(aborts_with("a fiber joins itself", with_itself(join)));
  CHECK(aborts_with("a fiber joins itself", with_itself(join_some)));
  CHECK(aborts_with("an empty fiber handle was used", [] {
    const std::vector<fiber<>> list(1);
    (void)wait_some(list, join_options::all);
  }));
}

// Memory

TEST_CASE("a waiting joinall does not allocate for ends, kills and limits") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto round = [](bool counted) -> task<> {
      const auto fibers = sleepers({1, 2, 3});
      const auto one = spawn([&]() -> task<> { co_await joinall(fibers); });
      const auto two = spawn([&]() -> task<> { co_await joinall(fibers, {.timeout = 1h}); });
      const auto killed = spawn([&]() -> task<> { co_await joinall(fibers, {.count = 2}); });
      const auto late = spawn([&]() -> task<> { co_await joinall(fibers, {.timeout = 2ms}); });
      co_await yield();
      const std::size_t before = allocations();
      killed.request_kill();
      for (const auto* each : {&one, &two, &killed, &late}) co_await each->join(1h);
      if (counted) CHECK(allocations() == before);
    };
    co_await round(false);  // fills the pools
    co_await round(true);
  };
  run_on(engine, main());
}

TEST_SUITE_END();
