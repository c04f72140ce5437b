// remote_future: how waits for it end, and who may read the value.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/remote_promise.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
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
#include "support/scale.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<> settle() { co_await sleep(1ns); }

task<> note(remote_future<int> from, std::string& log, time_limit timeout = forever) {
  const int value = co_await from.get(timeout);
  log += std::to_string(value);
  co_await yield();
  log += "on";
}

}  // namespace

TEST_SUITE_BEGIN("remote_future");

TEST_CASE("all copies become ready, and the value can be read repeatedly") {
  run_scripted([](scripted_engine&) -> task<> {
    remote_promise<std::string> promised;
    const remote_future<std::string> text = promised.get_future();
    const remote_future<std::string> copy = text;
    CHECK_FALSE(copy.is_ready());
    CHECK_FALSE(co_await text.wait(1ms));
    const result<std::string> late = co_await as_result(text.get(0s));
    CHECK(late.error() == errc::timed_out);
    promised.set_value("a");
    CHECK(copy.is_ready());
    CHECK(copy.has_value());
    CHECK(copy.error() == nullptr);
    CHECK(co_await text.get() == "a");
    CHECK(co_await copy.get() == "a");
    CHECK(*co_await as_result(text.get()) == "a");
    CHECK(co_await remote_future<std::string>(copy).get() == "a");
    CHECK(co_await text.wait());
  });
}

TEST_CASE("a value that cannot be copied is moved out of an rvalue") {
  run_scripted([](scripted_engine&) -> task<> {
    remote_promise<std::unique_ptr<int>> promised;
    promised.set_value(std::make_unique<int>(7));
    const std::unique_ptr<int> mine = co_await promised.get_future().get();
    CHECK(*mine == 7);
  });
  remote_promise<std::unique_ptr<int>> promised;
  promised.set_value(std::make_unique<int>(8));
  CHECK(*promised.get_future().get_blocking() == 8);
  CHECK(aborts_with("the value of a remote_future was used after it was moved out",
                    [&] { (void)promised.get_future().get_blocking(); }));
}

TEST_CASE("waits that are killed or late lose nothing, and success wins") {
  run_scripted([](scripted_engine& engine) -> task<> {
    remote_promise<int> promised;
    std::string log;
    const fiber<> before = spawn(note(promised.get_future(), log));
    const fiber<> after = spawn(note(promised.get_future(), log));
    const fiber<> late = spawn(note(promised.get_future(), log, 5ms));
    const fiber<> timed = spawn(note(promised.get_future(), log, 1ms));
    co_await sleep(2ms);
    before.request_kill();
    promised.set_value(7);
    after.request_kill();
    engine.advance(10'000'000);
    co_await before.join();
    co_await after.join();
    co_await late.join();
    CHECK(log == "77on");
    CHECK(text_of(timed.error()).find("timed out") != std::string::npos);
  });
}

TEST_CASE("a select() ends when the future is ready, or without it") {
  run_scripted([](scripted_engine&) -> task<> {
    remote_promise<int> promised;
    const remote_future<int> number = promised.get_future();
    event other;
    other.set();
    const std::size_t first = (co_await select(number.get(), other.wait())).index();
    CHECK(first == 1);
    other.reset();
    const fiber<> setting = spawn([&]() -> task<> {
      co_await yield();
      promised.set_value(7);
    });
    const auto second = co_await select(number.get(), other.wait());
    CHECK(std::get<0>(second) == 7);
    co_await setting.join();
  });
}

TEST_CASE("a wait keeps the value alive when the last future and the promise are gone") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<remote_promise<std::string>> promised(std::in_place);
    std::optional<remote_future<std::string>> text = promised->get_future();
    std::string seen;
    const fiber<> waiting = spawn([&]() -> task<> {
      const bool came = co_await text->wait();
      seen = came ? "came" : "late";
    });
    co_await yield();
    promised->set_value("a value that is longer than what a string keeps in itself");
    promised.reset();
    text.reset();
    co_await waiting.join();
    CHECK(seen == "came");
  });
}

TEST_CASE("an error that nothing has handled is reported with the place of the promise") {
  std::vector<std::string> reports;
  const auto main = []() -> task<> {
    remote_promise<> handled;
    handled.set_error(std::make_exception_ptr(std::runtime_error("seen")));
    CHECK(handled.get_future().error() != nullptr);
    remote_promise<> unhandled;
    unhandled.set_error(std::make_exception_ptr(std::runtime_error("not seen")));
    co_return;
  };
  run(main(), collecting(reports));
  CHECK(reports == std::vector<std::string>{"not seen"});
}

TEST_CASE("waiting and setting do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    remote_promise<int> promised;
    std::string log(10, ' ');
    log.clear();
    const fiber<> waiting = spawn(note(promised.get_future(), log));
    const std::size_t before = allocations();
    co_await yield();
    promised.set_value(7);
    const std::size_t after = allocations();
    CHECK(after == before);
    co_await waiting.join();
  });
}

TEST_CASE("dump() shows the future that a fiber waits for") {
  run_scripted([](scripted_engine&) -> task<> {
    remote_promise<int> promised;
    std::string log;
    const fiber<> waiting = spawn(note(promised.get_future(), log));
    co_await settle();
    const std::string text = dump();
    CHECK(text.find("remote future 0x") != std::string::npos);
    CHECK(text.find("with 1 waiting, promised at ") != std::string::npos);
    promised.set_value(1);
    co_await waiting.join();
  });
}

TEST_CASE("broken rules abort with a sentence that names them") {
  CHECK(aborts_with("an empty remote_future was used", [] {
    const remote_future<int> none;
    (void)none.is_ready();
  }));
  CHECK(
      aborts_with("get_blocking() of a remote_future was called on the thread of a scheduler", [] {
        run_scripted([](scripted_engine&) -> task<> {
          remote_promise<int> promised;
          (void)promised.get_future().get_blocking();
          co_return;
        });
      }));
}

TEST_CASE("a plain thread waits for a limited time, and then gets the value or the error") {
  remote_promise<int> promised;
  const remote_future<int> number = promised.get_future();
  CHECK_FALSE(number.wait_blocking(1ms));
  CHECK_THROWS_AS((void)number.get_blocking(1ms), timed_out);
  std::thread other([&] { promised.set_value(3); });
  CHECK(number.get_blocking() == 3);
  other.join();
  CHECK(number.wait_blocking());
}

TEST_CASE("promises and futures may be dropped on any thread, at any moment") {
  const int rounds = 500 * static_cast<int>(test_scale());
  std::atomic<int> sum = 0;
  const auto main = [&]() -> task<> {
    for (int i = 0; i < rounds; ++i) {
      remote_promise<int> promised;
      remote_future<int> number = promised.get_future();
      std::thread other(
          [mine = std::move(promised), copy = number]() mutable { mine.set_value(1); });
      const fiber<> waiting = spawn(
          [&sum](remote_future<int> from) -> task<> { sum += co_await std::move(from).get(); },
          std::move(number));
      if (i % 3 == 0) waiting.request_kill();
      co_await waiting.join();
      other.join();
    }
  };
  run(main());
  CHECK(sum >= rounds / 3);
}

TEST_SUITE_END();
