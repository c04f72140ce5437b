// on_done: when callbacks at a fiber's end are called, what they may do, and what they see.
//
// Method: callbacks and fibers note their steps in one string, and unhandled failures are noted,
// too. Fibers that are killed have no co_await inside a CHECK, which would swallow the exception.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "fiber_ends.hpp"
#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("fiber_base");

// Such callbacks do not compile, because no fiber would await their result.
static_assert(detail::is_task<detail::answer_of_callback<task<> (*)(), int>>);
static_assert(detail::is_task<detail::answer_of_callback<task<int> (*)(const fiber<int>&), int>>);
static_assert(!detail::is_task<detail::answer_of_callback<void (*)(const fiber<int>&), int>>);
static_assert(!detail::is_task<detail::answer_of_callback<fiber<> (*)(), int>>);

// rows: W16 GL-11
TEST_CASE("callbacks are called in the order of their registration, before any join returns") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await sleep(1ms);
      log += "end ";
    });
    target.on_done([&] { log += "a "; });
    const auto join = [&](const char* word) -> task<> {
      co_await target.join();
      log += word;
    };
    const auto one = spawn(join, "join1 ");
    co_await yield();
    target.on_done([&] { log += "b "; });
    const auto two = spawn(join, "join2 ");
    co_await yield();
    target.on_done([&] { log += "c "; });
    co_await one.join();
    co_await two.join();
  };
  run_on(engine, main());
  // A join only queues its fiber, so callbacks that were registered later also come first.
  CHECK(log == "end a b c join1 join2 ");
}

// row: GL-11
TEST_CASE("a callback takes the handle or nothing, and sees the outcome of its fiber") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto good = spawn(answer);
    const auto bad = spawn(fail, "expected");
    const auto gone = spawn(sleep_long);
    good.on_done([&](const fiber<int>& ended) {
      CHECK(ended == good);
      log += std::to_string(ended.value()) + " ";
    });
    good.on_done([&](fiber<int> ended) { log += ended.done() ? "done " : "not done "; });
    bad.on_done([&](const fiber<>& ended) { log += sentence_of(ended.error()) + " "; });
    gone.on_done([&](const auto& ended) {
      log += ended.result() == outcome::cancelled ? "cancelled" : "not cancelled";
    });
    co_await yield();
    co_await gone.kill();
  };
  run_on(engine, main(), noting(log));
  CHECK(log == "42 done expected cancelled");
}

// row: GL-11
TEST_CASE(
    "a callback runs between fibers, outside any fiber, once the ended fiber's frame is freed") {
  scripted_engine engine;
  std::uint64_t parent = 99;
  bool frame_is_gone = false;
  const auto main = [&]() -> task<> {
    const auto life = std::make_shared<int>();
    const auto target = spawn([life]() -> task<> { co_await yield(); });
    target.on_done([&, watched = std::weak_ptr(life)] {
      CHECK(current_scheduler().running() == nullptr);
      frame_is_gone = watched.use_count() == 1;  // only main's
      parent = spawn(nothing).state().parent_id();
    });
    co_await target.join();
  };
  run_on(engine, main());
  CHECK(parent == 0);
  CHECK(frame_is_gone);
}

// row: W43
TEST_CASE("current_fiber() in a callback aborts") {
  CHECK(aborts_with("current() was called outside of a fiber", [] {
    scripted_engine engine;
    const auto main = []() -> task<> {
      const auto target = spawn(nothing);
      target.on_done([] { (void)current(); });
      co_await target.join();
    };
    run_on(engine, main());
  }));
}

// row: GL-11
TEST_CASE("a callback may spawn, and the new fiber begins behind those that are ready") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn(nothing);
    fiber<> born;
    const auto note = [&](const char* word) -> task<> {
      log += word;
      co_return;
    };
    target.on_done([&] { born = spawn(note, "born "); });
    const auto ready = spawn(note, "ready ");
    co_await target.join();  // registered later, so woken after `born` was queued
    log += "joined ";
    co_await born.join();
  };
  run_on(engine, main());
  CHECK(log == "ready born joined ");
}

// row: GL-11
TEST_CASE("a callback may kill other fibers, and wake fibers that wait for them") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    const auto victim = spawn(sleep_long);
    const auto target = spawn([]() -> task<> { co_await sleep(1ms); });
    target.on_done([=] { victim.request_kill(); });
    co_await victim.join();
    CHECK(victim.result() == outcome::cancelled);
    CHECK(engine.now() == begin + 1'000'000);
  };
  run_on(engine, main());
}

// row: W17
TEST_CASE("an exception in a callback is reported with the fiber's name, and the rest are called") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn(nothing);
    target.set_name("target");
    target.on_done([&] { log += "a"; });
    target.on_done([] { throw std::runtime_error("b threw"); });
    target.on_done([&] { log += "c"; });
    target.on_done([] { throw 5; });
    target.on_done([&] { log += "d"; });
    co_await target.join();
    CHECK(target.result() == outcome::value);
    CHECK(target.error() == nullptr);
  };
  run_on(engine, main(), noting(log));
  CHECK(log == "a[2 target: b threw]c[2 target: unknown]d");
}

// row: W17
TEST_CASE("a removed callback is not called, and only the first removal returns true") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn(nothing);
    const auto other = spawn(nothing);
    const callback_id a = target.on_done([&] { log += "a"; });
    const callback_id b = target.on_done([&] { log += "b"; });
    const callback_id c = target.on_done([&] { log += "c"; });
    CHECK_FALSE(other.remove_callback(b));  // not that one's
    CHECK(target.remove_callback(b));
    CHECK_FALSE(target.remove_callback(b));
    CHECK_FALSE(target.remove_callback(callback_id{12345}));
    co_await target.join();
    CHECK_FALSE(target.remove_callback(a));
    CHECK_FALSE(target.remove_callback(c));
  };
  run_on(engine, main());
  CHECK(log == "ac");
}

// row: W17
TEST_CASE("removing a callback finds it among joins") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([]() -> task<> { co_await sleep(1ms); });
    const auto one = spawn([=]() -> task<> { co_await target.join(); });
    co_await yield();
    const callback_id a = target.on_done([&] { log += "a"; });
    const auto two = spawn([=]() -> task<> { co_await target.join(); });
    co_await yield();
    CHECK(target.remove_callback(a));
    CHECK(co_await one.join());
    CHECK(co_await two.join());
  };
  run_on(engine, main());
  CHECK(log.empty());
}

// row: W17
TEST_CASE("removing a callback takes effect even while callbacks are being called") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn(nothing);
    callback_id self = {};
    callback_id next = {};
    callback_id last = {};
    callback_id first = target.on_done([&] { log += "first "; });
    self = target.on_done([&, target] {
      log += "self ";
      CHECK_FALSE(target.remove_callback(first));  // called already
      CHECK_FALSE(target.remove_callback(self));   // being called
      CHECK(target.remove_callback(next));
      CHECK(target.remove_callback(last));
    });
    next = target.on_done([&] { log += "next "; });
    target.on_done([&] { log += "other "; });
    last = target.on_done([&] { log += "last "; });
    co_await target.join();
  };
  run_on(engine, main());
  CHECK(log == "first self other ");
}

// row: W17
TEST_CASE("callbacks that are added while other callbacks run are called once each") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn(nothing);
    target.on_done([&, target] {
      log += "a ";
      target.on_done([&, target] {
        log += "added ";
        target.on_done([&] { log += "added by added "; });
      });
    });
    target.on_done([&] { log += "b "; });
    co_await target.join();
    log += "joined ";
    co_await sleep(1ms);
  };
  run_on(engine, main());
  CHECK(log == "a b joined added added by added ");
}

// rows: W16 GL-11
TEST_CASE("a callback on a fiber that has ended is called when the turn ends") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn(answer);
    co_await target.join();
    for (const char* word : {"a ", "b ", "c "}) {
      target.on_done(
          [&log, word](const fiber<int>& ended) { log += std::to_string(*&ended.value()) + word; });
    }
    target.on_done([] { throw std::runtime_error("late"); });
    CHECK(log.empty());
    co_await target.join();
    CHECK(log.empty());
    log += "main ";
    co_await sleep(0s);
  };
  run_on(engine, main(), noting(log));
  CHECK(log == "main 42a 42b 42c [2 : late]");
}

// row: W17
TEST_CASE("a callback on a fiber that has ended can be removed, too, until it is called") {
  scripted_engine engine;
  std::string log;
  fiber<int> target;
  fiber<int> other;
  callback_id last = {};
  const auto main = [&]() -> task<> {
    target = spawn(answer);
    other = spawn(answer);
    co_await other.join();
    const callback_id a = target.on_done([&] { log += "a "; });
    callback_id c = {};
    const callback_id b = target.on_done([&] {
      log += "b ";
      CHECK(target.remove_callback(c));
    });
    c = target.on_done([&] { log += "c "; });
    other.on_done([&] { log += "other "; });
    CHECK_FALSE(other.remove_callback(a));
    CHECK(target.remove_callback(a));
    CHECK_FALSE(target.remove_callback(a));
    co_await sleep(0s);
    CHECK(log == "b other ");
    CHECK_FALSE(target.remove_callback(b));
    last = target.on_done([&] { log += "last"; });
  };
  run_on(engine, main());
  CHECK(log == "b other last");
  CHECK_FALSE(target.remove_callback(last));  // the scheduler is gone
}

// row: W17
TEST_CASE("callbacks that add themselves again do not keep fibers from running") {
  scripted_engine engine;
  int called = 0;
  const auto main = [&]() -> task<> {
    const auto target = spawn(answer);
    co_await target.join();
    std::function<void()> again = [&] {
      if (++called < 1000) target.on_done(again);
    };
    target.on_done(again);
    const auto reader = spawn([&]() -> task<> { co_await probe(); });
    co_await yield();
    engine.complete(engine.oldest(opcode::read), 1);
    co_await reader.join();
    CHECK(called > 0);
    CHECK(called < 5);
    const steady_ns begin = engine.now();
    while (called < 1000) co_await sleep(0s);
    CHECK(engine.now() == begin);
  };
  run_on(engine, main());
}

// row: GL-11
TEST_CASE("callbacks of ended fibers are called although no fiber is ready") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn(answer);
    co_await target.join();
    const auto sleeper = spawn([]() -> task<> { co_await sleep(std::chrono::hours::max()); });
    co_await yield();
    // A callback that the first one adds is also called before the scheduler sleeps or finds a
    // deadlock.
    target.on_done([&, sleeper, target] {
      log += "called ";
      target.on_done([&, sleeper] {
        log += "and again";
        sleeper.request_kill();
      });
    });
    co_await sleeper.join();
  };
  run_on(engine, main());
  CHECK(log == "called and again");
}

// row: GL-11
TEST_CASE("a callback that is called as the run ends may still spawn") {
  scripted_engine engine;
  std::string log;
  fiber<> born;
  const auto main = [&]() -> task<> {
    const auto target = spawn(answer);
    co_await target.join();
    target.on_done([&, target] {
      log += "called ";
      born = spawn(nothing);
      // And so on: each of these is called one turn after the previous one.
      target.on_done([&, target] {
        log += "again ";
        target.on_done([&, target] {
          log += "and again ";
          target.on_done([&] { log += "and again"; });
        });
      });
    });
  };
  run_on(engine, main());
  CHECK(log == "called again and again and again");
  CHECK(born.result() == outcome::cancelled);  // the main task had ended
}

// row: GL-11
TEST_CASE("callbacks of the main fiber are called although no handle of it exists") {
  scripted_engine engine;
  std::string log;
  struct note_end final : done_callback {
    note_end(fiber_base& watched, std::string& where) : of(watched), log(where) {}
    void call() override { log += of.result() == outcome::value ? "value" : "other"; }
    fiber_base& target() const noexcept override { return of; }
    fiber_base& of;
    std::string& log;
  };
  const auto main = [&]() -> task<> {
    current().add_callback(std::make_unique<note_end>(current(), log));
    co_return;
  };
  run_on(engine, main());
  CHECK(log == "value");
}

// rows: GL-11 GL-16
TEST_CASE("objects held by a callback are freed after its call or removal") {
  scripted_engine engine;
  const auto called = std::make_shared<int>();
  const auto removed = std::make_shared<int>();
  const auto late = std::make_shared<int>();
  const auto main = [&]() -> task<> {
    const auto target = spawn(nothing);
    target.on_done([called] {});
    const callback_id id = target.on_done([removed] {});
    CHECK(called.use_count() == 2);
    CHECK(target.remove_callback(id));
    CHECK(removed.use_count() == 1);
    co_await target.join();
    CHECK(called.use_count() == 1);
    target.on_done([late] {});
    co_await sleep(0s);
    CHECK(late.use_count() == 1);
  };
  run_on(engine, main());
}

// row: GL-11
TEST_CASE("callbacks may be move-only, and keep a fiber that has no other handle") {
  scripted_engine engine;
  int seen = 0;
  const auto main = [&]() -> task<> {
    spawn(answer).on_done([&, extra = std::make_unique<int>(1)](const fiber<int>& ended) {
      seen = ended.value() + *extra;
    });
    co_await sleep(0s);
  };
  run_on(engine, main());
  CHECK(seen == 43);
}

// rows: W14 GL-11
TEST_CASE("a callback alone does not count as handling a failure") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    spawn(fail, "unseen").on_done([&](const fiber<>&) { log += "called "; });
    spawn(fail, "seen").on_done([&](const fiber<>& ended) { (void)ended.error(); });
    co_await sleep(0s);
  };
  run_on(engine, main(), noting(log));
  CHECK(log == "called [2 : unseen]");
}

// row: GL-11
TEST_CASE("on_done after the run, in another run or on another thread aborts") {
  constexpr auto sentence = "on_done() was called on a thread that is not the scheduler's";
  const auto ended_fiber = [] {
    fiber<> ended;
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      ended = spawn(nothing);
      co_await ended.join();
    };
    run_on(engine, main());
    return ended;
  };
  CHECK(aborts_with(sentence, [&] { ended_fiber().on_done([] {}); }));
  CHECK(aborts_with(sentence, [&] {
    const fiber<> ended = ended_fiber();
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      ended.on_done([] {});
      co_return;
    };
    run_on(engine, main());
  }));
  if (sanitized) return;  // under ThreadSanitizer a forked child cannot start threads
  CHECK(aborts_with(sentence, [] {
    scripted_engine engine;
    const auto main = []() -> task<> {
      const auto sleeper = spawn(sleep_long);
      std::thread([&] { sleeper.on_done([] {}); }).join();
      co_return;
    };
    run_on(engine, main());
  }));
}

// rows: W3 GL-11
TEST_CASE("joins and callbacks of a fiber killed before it began are completed") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      log += "not here ";
      co_return;
    });
    target.on_done([&](const fiber<>& ended) {
      log += ended.result() == outcome::cancelled ? "cancelled " : "not cancelled ";
    });
    const auto joining = spawn([&, target]() -> task<> {
      co_await target.join();
      log += "joined ";
    });
    target.request_kill();
    CHECK_FALSE(target.done());
    co_await joining.join();
  };
  run_on(engine, main());
  CHECK(log == "cancelled joined ");
}

TEST_SUITE_END();
