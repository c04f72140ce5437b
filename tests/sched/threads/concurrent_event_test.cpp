// concurrent_event: whom set() wakes, and how a wait ends otherwise.
//
// Method: one scheduler on the scripted engine wakes its own fibers, by the same messages that
// other threads use; then threads do.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/concurrent_event.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
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

task<> note(concurrent_event& on, std::string& log, char name, time_limit timeout = forever) {
  log += name;
  const bool came = co_await on.wait(timeout);
  log += came ? '+' : '-';
}

}  // namespace

TEST_SUITE_BEGIN("concurrent_event");

TEST_CASE("waits pass once the event is set, until it is reset") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_event begun;
    CHECK_FALSE(begun.is_set());
    begun.set();
    CHECK(begun.is_set());
    CHECK(co_await begun.wait());
    begun.reset();
    CHECK_FALSE(co_await begun.wait(1ms));
    CHECK_FALSE(*co_await as_result(begun.wait(0s)));
  });
}

// S6
TEST_CASE("set() ends the waits that had begun, although reset() follows, and no later ones") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_event begun;
    std::string log;
    const fiber<> early = spawn(note(begun, log, 'a'));
    const fiber<> also = spawn(note(begun, log, 'b'));
    co_await settle();
    begun.set();
    begun.reset();
    const fiber<> late = spawn(note(begun, log, 'c', 1ms));
    co_await early.join();
    co_await also.join();
    co_await late.join();
    CHECK(log == "abc++-");
  });
}

TEST_CASE("a wait that is killed or late before set() ends so; after set() success wins") {
  run_scripted([](scripted_engine& engine) -> task<> {
    concurrent_event begun;
    std::string log;
    const fiber<> before = spawn(note(begun, log, 'a'));
    const fiber<> after = spawn(note(begun, log, 'b'));
    const fiber<> late = spawn(note(begun, log, 'c', 5ms));
    co_await settle();
    before.request_kill();
    begun.set();
    after.request_kill();
    engine.advance(10'000'000);
    co_await before.join();
    co_await after.join();
    co_await late.join();
    CHECK(before.result() == outcome::cancelled);
    CHECK(log == "abc++");
  });
}

TEST_CASE("a select() ends with the event, or without it while its notification is on its way") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_event begun;
    event other;
    std::size_t first = 7;
    const auto choose = [&]() -> task<> {
      first = (co_await select(begun.wait(), other.wait())).index();
    };
    const fiber<> one = spawn(choose());
    co_await settle();
    begun.set();
    co_await one.join();
    CHECK(first == 0);
    begun.reset();
    const fiber<> two = spawn(choose());
    co_await settle();
    begun.set();
    other.set();
    co_await two.join();
    CHECK(first == 1);
  });
}

TEST_CASE("waiting and setting do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_event begun;
    std::string log(10, ' ');
    log.clear();
    const fiber<> waiting = spawn(note(begun, log, 'a'));
    const std::size_t before = allocations();
    co_await yield();
    begun.set();
    const std::size_t after = allocations();
    CHECK(after == before);
    co_await waiting.join();
    CHECK(log == "a+");
  });
}

TEST_CASE("dump() shows the event that a fiber waits for") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_event begun;
    std::string log;
    const fiber<> waiting = spawn(note(begun, log, 'a'));
    co_await yield();
    const std::string text = dump();
    CHECK(text.find("concurrent event 0x") != std::string::npos);
    CHECK(text.find("with 1 waiting") != std::string::npos);
    begun.set();
    co_await waiting.join();
  });
}

TEST_CASE("broken rules abort with a sentence that names them") {
  CHECK(aborts_with("a concurrent_event was destroyed while a fiber or a thread waited for it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<concurrent_event> begun(std::in_place);
      std::string log;
      const fiber<> waiting = spawn(note(*begun, log, 'a'));
      co_await yield();
      begun.reset();
    });
  }));
  CHECK(aborts_with("wait_blocking() of a concurrent_event was called on the thread", [] {
    run_scripted([](scripted_engine&) -> task<> {
      concurrent_event begun;
      (void)begun.wait_blocking();
      co_return;
    });
  }));
}

TEST_CASE("a thread wakes the fibers of two schedulers and a plain thread, and all see its data") {
  concurrent_event loaded;
  int data = 0;
  std::atomic<int> right = 0;
  const auto main = [&]() -> task<> {
    std::vector<fiber<>> all;
    for (int i = 0; i < 20; ++i) {
      all.push_back(spawn([&]() -> task<> {
        const bool came = co_await loaded.wait();
        if (came && data == 7) ++right;
      }));
    }
    for (const fiber<>& one : all) co_await one.join();
  };
  CHECK_FALSE(loaded.wait_blocking(1ms));
  std::thread one([&] { run(main()); });
  std::thread two([&] { run(main()); });
  std::thread plain([&] { right += static_cast<int>(loaded.wait_blocking() && data == 7); });
  data = 7;
  loaded.set();
  one.join();
  two.join();
  plain.join();
  CHECK(right == 41);
  CHECK(loaded.wait_blocking());
}

TEST_CASE("a waiter may destroy the event as soon as its wait has passed") {
  const int rounds = 300 * static_cast<int>(test_scale());
  std::atomic<concurrent_event*> shared = nullptr;
  std::thread other([&] {
    for (int i = 0; i < rounds; ++i) {
      concurrent_event* mine = nullptr;
      while ((mine = shared.exchange(nullptr)) == nullptr) std::this_thread::yield();
      mine->set();
    }
  });
  const auto main = [&]() -> task<> {
    for (int i = 0; i < rounds; ++i) {
      const auto one = std::make_unique<concurrent_event>();
      shared = one.get();
      co_await one->wait();
    }
  };
  run(main());
  other.join();
}

TEST_SUITE_END();
