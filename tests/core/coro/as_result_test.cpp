// as_result turns system errors into values and leaves everything else as it is.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>

#include <doctest/doctest.h>

#include <coroutine>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "support/chain.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("as_result");

namespace {

// A minimal library wait: take() is its outcome, await_resume() throws the error.
class quiet_call {
 public:
  explicit quiet_call(result<int> outcome) : outcome_(outcome) {}
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    yield_wait().await_suspend(caller);
    return true;
  }
  result<int> take() { return outcome_; }
  int await_resume() {
    ++throwing_calls;
    return take().value();
  }
  static inline int throwing_calls = 0;

 private:
  result<int> outcome_;
};

task<int> value_after_a_wait(int value) {
  co_await yield_wait();
  co_return value;
}

template <class Error>
task<int> failing(Error error) {
  co_await yield_wait();
  throw error;
}

task<> failing_quietly() {
  co_await yield_wait();
  throw_error(errc::timed_out, "call");
}

task<std::unique_ptr<int>> moving() { co_return std::make_unique<int>(7); }

template <class T>
task<result<T>> outcome_of(task<T> call) {
  auto outcome = co_await as_result(std::move(call));
  co_return outcome;
}

}  // namespace

TEST_CASE("as_result returns the value of a call") {
  const auto outcome = run_alone([]() -> task<result<int>> {
    quiet_call call(7);
    co_return co_await as_result(call);
  }());
  REQUIRE(outcome);
  CHECK(*outcome == 7);
}

TEST_CASE("as_result returns the error of a call without throwing") {
  quiet_call::throwing_calls = 0;
  const auto outcome = run_alone([]() -> task<result<int>> {
    co_return co_await as_result(quiet_call(make_error_code(errc::closed)));
  }());
  CHECK(outcome.error() == errc::closed);
  CHECK(quiet_call::throwing_calls == 0);
}

TEST_CASE("the same call throws without as_result") {
  CHECK_THROWS_AS(run_alone([]() -> task<int> {
                    co_return co_await quiet_call(make_error_code(errc::closed));
                  }()),
                  std::system_error);
}

TEST_CASE("as_result of as_result is the same as as_result") {
  const auto outcome = run_alone([]() -> task<result<int>> {
    quiet_call call(make_error_code(errc::closed));
    auto once = as_result(call);
    co_return co_await as_result(once);
  }());
  CHECK(outcome.error() == errc::closed);
}

TEST_CASE("as_result returns a task's value") {
  CHECK(*run_alone(outcome_of(value_after_a_wait(7))) == 7);
}

TEST_CASE("as_result returns a task's value that can only be moved") {
  auto outcome = run_alone([]() -> task<std::unique_ptr<int>> {
    auto made = co_await as_result(moving());
    co_return *std::move(made);
  }());
  CHECK(*outcome == 7);
}

TEST_CASE("as_result of a task that returns nothing is success or an error") {
  CHECK(run_alone(outcome_of([]() -> task<> { co_await yield_wait(); }())));
  CHECK(run_alone(outcome_of(failing_quietly())).error() == errc::timed_out);
}

TEST_CASE("as_result returns the code of a task's system_error") {
  const std::system_error refused(std::make_error_code(std::errc::connection_refused));
  CHECK(run_alone(outcome_of(failing(refused))).error() == std::errc::connection_refused);
}

TEST_CASE("cancelled passes through as_result of a task: it is not an error") {
  CHECK_THROWS_AS(static_cast<void>(run_alone(outcome_of(failing(cancelled())))), cancelled);
}

TEST_CASE("cancelled passes through as_result of a wait: it is not an error") {
  ready_queue queue;
  chain<result<int>> one(queue, []() -> task<result<int>> {
    struct quiet_wait : manual_wait {
      result<int> take() {
        manual_wait::await_resume();
        return 7;
      }
    };
    co_return co_await as_result(quiet_wait());
  }());
  run_ready(queue);
  one.kill();
  run_ready(queue);
  CHECK_THROWS_AS(static_cast<void>(one.take()), cancelled);
}

TEST_CASE("as_result accepts a wait without take(), and turns what it throws into a result") {
  struct loud_call {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    int await_resume() const {
      if (number == 0) throw_error(errc::timed_out, "call");
      return number;
    }
    int number;
  };
  const auto outcome_of_number = [](int number) -> task<result<int>> {
    loud_call loud{number};
    co_return co_await as_result(std::move(loud));
  };
  CHECK(run_alone(outcome_of_number(7)).value() == 7);
  CHECK(run_alone(outcome_of_number(0)).error() == errc::timed_out);
}

TEST_CASE("other exceptions pass through as_result") {
  CHECK_THROWS_AS(static_cast<void>(run_alone(outcome_of(failing(std::runtime_error("bug"))))),
                  std::runtime_error);
  CHECK_THROWS_AS(static_cast<void>(run_alone(outcome_of(failing(7)))), int);
}

TEST_CASE("a task that is never awaited does not run, not even under as_result") {
  bool ran = false;
  {
    const auto never_awaited = as_result([](bool& flag) -> task<> {
      flag = true;
      co_return;
    }(ran));
    static_cast<void>(never_awaited);
  }
  CHECK_FALSE(ran);
}

TEST_SUITE_END();
