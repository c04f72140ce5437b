// promise: it is set once, breaks when it is dropped, and can follow a fiber.
//
// Method: in fibers that are killed no co_await stands inside of a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/cancelled.hpp>
#include <ringlet/promise.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/counted.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

std::exception_ptr failure(const char* what) {
  return std::make_exception_ptr(std::runtime_error(what));
}

template <class T>
task<> get(future<T> of) {
  co_await of.get();
}

struct fails_to_move {
  fails_to_move() = default;
  fails_to_move(const fails_to_move&) { throw std::runtime_error("not copied"); }
  fails_to_move(fails_to_move&&) { throw std::runtime_error("not moved"); }
};

struct fails_to_copy {
  fails_to_copy() = default;
  fails_to_copy(const fails_to_copy&) { throw std::runtime_error("not copied"); }
  fails_to_copy(fails_to_copy&&) noexcept {}
};

}  // namespace

TEST_SUITE_BEGIN("promise");

// rows: EV-02 W45 FU-04 W54
TEST_CASE("a promise is set once: the try forms return false after that, and change nothing") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<std::unique_ptr<int>> answer;
    CHECK_FALSE(answer.is_set());
    auto value = std::make_unique<int>(1);
    CHECK(answer.try_set_value(std::move(value)));
    CHECK(answer.is_set());
    value = std::make_unique<int>(2);
    CHECK_FALSE(answer.try_set_value(std::move(value)));
    CHECK(value != nullptr);  // NOLINT: it was not moved from
    CHECK_FALSE(answer.try_set_error(failure("late")));
    CHECK(*answer.get_future().value() == 1);

    promise<> failed;
    CHECK(failed.try_set_error(failure("first")));
    CHECK_FALSE(failed.try_set_value());
    const std::string words = co_await outcome_of(get(failed.get_future()));
    CHECK(words == "first");
  });
}

// rows: W45 W54
TEST_CASE("a promise that is set twice aborts") {
  const char* const rule = "a promise was set twice: use try_set_value()";
  CHECK(aborts_with(rule, [] {
    promise<int> answer;
    answer.set_value(1);
    answer.set_value(2);
  }));
  CHECK(aborts_with(rule, [] {
    promise<> done;
    done.set_value();
    done.set_error(failure("late"));
  }));
  CHECK(aborts_with(rule, [] {
    run_scripted([](scripted_engine&) -> task<> {
      promise<> done;
      done.set_value();
      std::move(done).follow(spawn(sleep_for(1ms)));
      co_return;
    });
  }));
}

TEST_CASE("a promise that was moved from, or an error that is null, aborts") {
  CHECK(aborts_with("a promise was used after it was moved", [] {
    promise<int> answer;
    const promise<int> moved = std::move(answer);
    answer.set_value(1);  // NOLINT: that is the mistake
  }));
  CHECK(aborts_with("a promise was given a null pointer for its error", [] {
    promise<int> answer;
    answer.set_error(nullptr);
  }));
}

TEST_CASE("a promise may be set before and after a run, and then read without one") {
  promise<int> before, after;
  before.set_value(1);
  run_scripted([&](scripted_engine&) -> task<> {
    CHECK(co_await before.get_future().get() == 1);
    CHECK_FALSE(co_await after.get_future().wait(0s));
  });
  after.set_value(2);
  CHECK(after.get_future().value() == 2);
}

// row: EV-02
TEST_CASE("a promise that is dropped unset breaks, and its future says where it was made") {
  run_scripted([](scripted_engine&) -> task<> {
    future<int> later;
    fiber<std::string> waiter;
    std::uint32_t made = 0;
    {
      made = __LINE__ + 1;
      promise<int> answer;
      later = answer.get_future();
      waiter = spawn(outcome_of(get(later)));
      co_await yield();
      CHECK_FALSE(waiter.done());
    }
    const std::string words = co_await waiter.get();
    CHECK(words.find("promise_test.cpp:" + std::to_string(made) +
                     ": the promise was destroyed before it had a value") != words.npos);
    CHECK(later.is_ready());
    CHECK_FALSE(later.has_value());
    const result<int> code = co_await as_result(later.get());
    CHECK(code.error() == errc::broken_promise);
  });
}

TEST_CASE("a promise that is assigned to breaks, and one that was moved does not") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<int> one, other;
    const future<int> first = one.get_future(), second = other.get_future();
    one = std::move(other);
    CHECK_FALSE(other);  // NOLINT: that is what a move leaves
    CHECK(first.is_ready());
    CHECK_FALSE(first.has_value());
    CHECK_FALSE(second.is_ready());
    promise<int> moved = std::move(one);
    moved.set_value(6);
    CHECK(second.value() == 6);
    co_return;
  });
}

TEST_CASE("a killed fiber breaks the promises in its frames") {
  run_scripted([](scripted_engine&) -> task<> {
    future<int> later;
    const fiber<> worker = spawn([&]() -> task<> {
      promise<int> answer;
      later = answer.get_future();
      co_await sleep(1h);
      answer.set_value(1);
    });
    co_await yield();
    worker.request_kill();
    const result<int> code = co_await as_result(later.get());
    CHECK(code.error() == errc::broken_promise);
  });
}

TEST_CASE("a kill is not passed on as an error, which would end a fiber that was not killed") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<int> answer;
    const future<int> later = answer.get_future();
    const fiber<> worker = spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (...) {
        answer.set_error(std::current_exception());
        throw;
      }
    });
    co_await yield();
    co_await worker.kill();
    CHECK(worker.result() == outcome::cancelled);
    const result<int> code = co_await as_result(later.get());
    CHECK(code.error() == errc::fiber_cancelled);
  });
}

TEST_CASE("a value that cannot be moved in leaves the promise unset") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<fails_to_move> answer;
    CHECK_THROWS_WITH(answer.set_value(fails_to_move()), "not moved");
    CHECK_FALSE(answer.is_set());
    answer.set_error(failure("then this"));
    CHECK(text_of(answer.get_future().error()) == "then this");
    co_return;
  });
}

// Following a fiber

// rows: EV-02 GL-11
TEST_CASE("a promise that follows a fiber has its value, or its error, when it ends") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        promise<int> sum;
        promise<> failing;
        const future<int> later = sum.get_future();
        const future<> failed = failing.get_future();
        const fiber<int> adder = spawn(value_after(2ms, 5));
        std::move(sum).follow(adder);
        std::move(failing).follow(spawn(fail_after(1ms, "worker failed")));
        CHECK_FALSE(sum);  // NOLINT: it was handed over
        CHECK_FALSE(later.is_ready());
        const std::string words = co_await outcome_of(get(failed));
        CHECK(words == "worker failed");
        CHECK(co_await later.get() == 5);
        CHECK(adder.value() == 5);  // a copy
      },
      collecting(reports));
  CHECK(reports.empty());
}

// row: EV-02
TEST_CASE("a promise that follows a fiber that has ended is set at once") {
  run_scripted([](scripted_engine&) -> task<> {
    const fiber<int> adder = spawn(value_after(0s, 5));
    const fiber<> failing = spawn(fail_after(0s, "worker failed"));
    co_await adder.join();
    co_await failing.join();
    promise<int> sum;
    promise<> failed;
    const future<int> later = sum.get_future();
    const future<> error = failed.get_future();
    std::move(sum).follow(adder);
    std::move(failed).follow(failing);
    CHECK(later.value() == 5);
    CHECK(text_of(error.error()) == "worker failed");
  });
}

TEST_CASE("a promise that follows a fiber by an rvalue takes the value out of it") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<std::unique_ptr<int>> answer;
    const future<std::unique_ptr<int>> later = answer.get_future();
    std::move(answer).follow(spawn(value_after(1ms, std::make_unique<int>(8))));
    const std::unique_ptr<int>& value = co_await later.get();
    CHECK(*value == 8);
  });
}

TEST_CASE(
    "a promise that follows a fiber that is killed has fiber_cancelled, and names the fiber") {
  run_scripted([](scripted_engine&) -> task<> {
    for (const bool started : {true, false}) {
      promise<> end;
      const future<> later = end.get_future();
      const fiber<> worker = spawn(sleep_for(1h));
      std::move(end).follow(worker);
      if (started) co_await yield();
      worker.request_kill();
      const result<void> code = co_await as_result(later.get());
      CHECK(code.error() == errc::fiber_cancelled);
      CHECK(text_of(later.error()).find("future of fiber " + std::to_string(worker.id())) == 0);
    }
  });
}

TEST_CASE("a promise that follows a fiber whose value cannot be copied has that error") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<fails_to_copy> answer;
    const future<fails_to_copy> later = answer.get_future();
    const auto work = []() -> task<fails_to_copy> { co_return fails_to_copy(); };
    const fiber<fails_to_copy> worker = spawn(work);
    std::move(answer).follow(worker);
    co_await worker.join();
    CHECK(text_of(later.error()) == "not copied");
  });
}

// row: W14
TEST_CASE("the error of a followed fiber that no one looks at is reported once, with its name") {
  std::vector<std::string> reports;
  options settings = collecting(reports);
  const auto collect = settings.on_unhandled_error;
  std::uint64_t id = 0;
  settings.on_unhandled_error = [&](const unhandled_error& failed) {
    collect(failed);
    id = failed.id;
  };
  std::uint64_t worker_id = 0;
  run_scripted(
      [&](scripted_engine&) -> task<> {
        promise<> end;
        const future<> later = end.get_future();
        const fiber<> worker = spawn(fail_after(1ms, "worker failed"));
        worker_id = worker.id();
        std::move(end).follow(worker);
        co_await worker.join();
      },
      settings);
  CHECK(reports == std::vector<std::string>{"worker failed"});
  CHECK(id == worker_id);
}

// Threads and memory

TEST_CASE("setting or breaking a promise on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  const char* const rule = "a future was used on a thread that is not its scheduler's";
  for (const bool breaks : {false, true}) {
    CHECK(aborts_with(rule, [&] {
      run_scripted([&](scripted_engine&) -> task<> {
        std::optional<promise<>> done(std::in_place);
        const future<> later = done->get_future();
        co_await later.wait(0s);
        std::thread([&] {
          if (breaks) {
            done.reset();
          } else {
            done->set_value();
          }
        }).join();
      });
    }));
  }
}

TEST_CASE("waiting, setting, breaking and killing allocate nothing") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto round = []() -> task<std::size_t> {
      std::optional<promise<int>> answer(std::in_place), broken(std::in_place);
      const future<int> later = answer->get_future(), gone = broken->get_future();
      const auto wait = [](future<int> on, time_limit timeout) -> task<> {
        co_await on.wait(timeout);
      };
      int called = 0;
      gone.on_ready([&] { ++called; });
      const fiber<> a = spawn(wait, later, forever), b = spawn(wait, later, 1ms),
                    c = spawn(wait, later, forever), d = spawn(wait, gone, forever);
      const std::size_t before = allocations();
      co_await yield();
      co_await sleep(2ms);
      {
        const out_of_memory none;
        c.request_kill();
        answer->set_value(1);
        broken.reset();
      }
      CHECK(called == 1);
      co_await a.join();
      co_await b.join();
      co_await c.join();
      co_await d.join();
      co_return allocations() - before;
    };
    co_await round();  // fills the pools
    const std::size_t made = co_await round();
    CHECK(made == 0);
  });
}

TEST_CASE("a promise and its callbacks that find no memory leave nothing half done") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    {
      const out_of_memory none;
      CHECK_THROWS_AS(promise<int>(), std::bad_alloc);
    }
    promise<int> answer;
    const future<int> later = answer.get_future();
    const fiber<int> worker = spawn(value_after(1ms, 5));
    int called = 0;
    {
      const out_of_memory none;
      CHECK_THROWS_AS(later.on_ready([&] { ++called; }), std::bad_alloc);
      CHECK_THROWS_AS(std::move(answer).follow(worker), std::bad_alloc);
    }
    CHECK(answer);  // NOLINT: it was not handed over
    std::move(answer).follow(worker);
    CHECK(co_await later.get() == 5);
    CHECK(called == 0);
  });
}

TEST_CASE("no value is leaked or destroyed twice, in whichever order the handles go") {
  life_count lives;
  run_scripted([&](scripted_engine&) -> task<> {
    for (const bool set : {true, false}) {
      for (const bool promise_first : {true, false}) {
        std::optional<promise<counted>> answer(std::in_place);
        std::optional<future<counted>> later(answer->get_future());
        later->on_ready([] {});
        if (set) answer->set_value(counted(lives, 1));
        if (promise_first) answer.reset();
        later.reset();
        answer.reset();
        CHECK(lives.alive() == 0);
      }
    }
    co_return;
  });
}

TEST_SUITE_END();
