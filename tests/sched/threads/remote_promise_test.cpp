// remote_promise: setting a future from other threads, once.
// SPDX-License-Identifier: MIT
#include <ringlet/cancelled.hpp>
#include <ringlet/error.hpp>
#include <ringlet/remote_promise.hpp>
#include <ringlet/run.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "sched/calls.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("remote_promise");

TEST_CASE("a thread sets the value that a fiber waits for") {
  const auto main = []() -> task<> {
    remote_promise<int> measured;
    const remote_future<int> number = measured.get_future();
    std::thread other([answer = std::move(measured)]() mutable { answer.set_value(7); });
    CHECK_FALSE(static_cast<bool>(measured));
    CHECK(co_await number.get() == 7);
    other.join();
  };
  run(main());
}

TEST_CASE("a fiber of another scheduler sets the value that a plain thread waits for") {
  remote_promise<std::string> promised;
  const remote_future<std::string> text = promised.get_future();
  const auto main = [](remote_promise<std::string> mine) -> task<> {
    mine.set_value("from afar");
    CHECK(mine.is_set());
    co_return;
  };
  std::thread other([&] { run(main(std::move(promised))); });
  CHECK(text.get_blocking() == "from afar");
  other.join();
}

TEST_CASE("an error that a thread sets is thrown in the fiber that waits") {
  const auto main = []() -> task<> {
    remote_promise<> promised;
    const remote_future<> done = promised.get_future();
    std::thread other([mine = std::move(promised)]() mutable {
      mine.set_error(std::make_exception_ptr(std::runtime_error("no luck")));
    });
    std::string text;
    try {
      co_await done.get();
    } catch (const std::runtime_error& error) {
      text = error.what();
    }
    CHECK(text == "no luck");
    other.join();
  };
  run(main());
}

TEST_CASE("a promise that is dropped, assigned to, or given `cancelled` breaks") {
  remote_promise<int> promised;
  const remote_future<int> number = promised.get_future();
  SUBCASE("dropped") { const remote_promise<int> dropped = std::move(promised); }
  SUBCASE("assigned to") { promised = remote_promise<int>(); }
  SUBCASE("given cancelled") { promised.set_error(std::make_exception_ptr(cancelled())); }
  CHECK(number.is_ready());
  CHECK_FALSE(number.has_value());
  std::string text;
  try {
    number.get_blocking();
  } catch (const std::system_error& error) {
    CHECK(error.code() == errc::broken_promise);
    text = error.what();
  }
  CHECK(text.find("remote_promise_test.cpp:") != std::string::npos);
}

TEST_CASE("what the copy of a value throws leaves the promise unset") {
  struct fragile {
    fragile() = default;
    fragile(const fragile&) { throw std::runtime_error("it broke"); }
  };
  remote_promise<fragile> promised;
  const fragile one;
  CHECK_THROWS_WITH(promised.set_value(one), "it broke");
  CHECK_FALSE(promised.is_set());
}

TEST_CASE("broken rules abort with a sentence that names them") {
  CHECK(aborts_with("a remote_promise was set twice", [] {
    remote_promise<int> promised;
    promised.set_value(1);
    promised.set_value(2);
  }));
  CHECK(aborts_with("a remote_promise was used after it was moved", [] {
    remote_promise<int> promised;
    const remote_promise<int> other = std::move(promised);
    promised.set_value(2);
  }));
  CHECK(aborts_with("a remote_promise was given a null pointer for its error", [] {
    remote_promise<int> promised;
    promised.set_error(nullptr);
  }));
}

TEST_SUITE_END();
