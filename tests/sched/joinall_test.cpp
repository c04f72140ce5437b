// joinall: waiting for several fibers at once, by name or in a range.
#include <ringlet/joinall.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <list>
#include <memory>
#include <stdexcept>
#include <vector>

#include "scripted_run.hpp"

using namespace ringlet;
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

}  // namespace

TEST_SUITE_BEGIN("joinall");

TEST_CASE("joinall waits until all have ended, of whatever types they are") {
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
    CHECK(co_await all);
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
    const std::vector<fiber<>> nobody;
    CHECK(co_await joinall(nobody));
    CHECK(co_await joinall(nobody, 0s));
  };
  run_on(engine, main());
}

TEST_CASE("the same fiber may be named more than once") {
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

TEST_CASE("the limit is one for all of them together, and the rest goes on") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    // Each ends less than the limit after the one before.
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

TEST_CASE("the limit counts from the co_await, not from the call") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto a = spawn(sleep_for, 8ms);
    auto all = joinall(a, 5ms);
    co_await sleep(4ms);
    CHECK(co_await all);
  };
  run_on(engine, main());
}

TEST_CASE("a limit that has passed asks whether all have ended") {
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

TEST_CASE("the limit may be a point in time") {
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

TEST_CASE("failures and kills count as ends, and are not thrown") {
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
    CHECK(gone.result() == outcome::exited);
  };
  run_on(engine, main());
}

TEST_CASE("a killed joinall ends at once, and its fibers go on") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    const auto a = spawn(sleep_for, 3ms);
    const auto b = spawn(sleep_for, 1ms);
    const auto joining = spawn([=]() -> task<> { co_await joinall(a, b); });
    co_await yield();
    CHECK(co_await joining.kill());
    CHECK(engine.now() == begin);
    CHECK(joining.result() == outcome::exited);
    CHECK(co_await joinall(a, b));
    CHECK(a.result() == outcome::value);
  };
  run_on(engine, main());
}

TEST_SUITE_END();
