// What every fiber has, whatever its result type: callbacks at its end, kills that carry an
// exception, the outcome.
//
// Method: callbacks and fibers note their steps in one string, and unhandled failures are noted,
// too. Fibers that are killed have no co_await inside a CHECK, which would swallow the exception.
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/spawn_after.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<> nothing() { co_return; }

task<int> answer() { co_return 42; }

task<> fail(const char* sentence) {
  throw std::runtime_error(sentence);
  co_return;
}

task<> sleep_long() { co_await sleep(1h); }

std::exception_ptr error_of(const char* sentence) {
  return std::make_exception_ptr(std::runtime_error(sentence));
}

std::string sentence_of(const std::exception_ptr& error) {
  if (error == nullptr) return "no error";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return known.what();
  } catch (const cancelled&) {
    return "cancelled";
  } catch (...) {
    return "unknown";
  }
}

// Options with a handler that notes unhandled failures.
options noting(std::string& log) {
  options settings;
  settings.on_unhandled_error = [&log](const unhandled_error& failure) {
    log += "[" + std::to_string(failure.id) + " " + std::string(failure.name) + ": " +
           sentence_of(failure.error) + "]";
  };
  return settings;
}

// Sleeps `count` times and notes the outcome of each sleep.
task<> note_kills(std::string& log, int count) {
  for (int i = 0; i < count; ++i) {
    try {
      co_await sleep(1ms);
      log += "slept ";
    } catch (const cancelled&) {
      log += "cancelled ";
    } catch (const std::exception& error) {
      log += error.what();
      log += ' ';
    }
  }
}

}  // namespace

TEST_SUITE_BEGIN("fiber_base");

// on_done

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

// Kills that carry an exception

// rows: GL-08 GL-09
TEST_CASE("a given exception is thrown at the wait, and is the fiber's error") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const std::runtime_error& error) {
        log += error.what();
        throw;
      }
    });
    co_await yield();
    target.request_kill(error_of("given"));
    CHECK(target.result() == outcome::pending);
    CHECK(co_await target.join());
    CHECK(target.result() == outcome::error);
    CHECK_THROWS_WITH(co_await target.get(), "given");
    CHECK_THROWS_WITH(co_await target.get(), "given");
  };
  run_on(engine, main());
  CHECK(log == "given");
}

// row: GL-08
TEST_CASE(
    "a given exception ends any kind of wait, and is thrown in a ready fiber at its next wait") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto sleeper = spawn(sleep_long);
    const auto kill_in = [&](auto wait) -> task<> {
      const auto target = spawn([&]() -> task<> {
        co_await wait();
        log += "not here ";
      });
      co_await yield();
      const bool ended = co_await target.kill(error_of("given"));
      CHECK(ended);
      log += sentence_of(target.error()) + " ";
    };
    const auto in_sleep = [] { return sleep(1h); };
    const auto in_join = [&] { return sleeper.join(2h); };
    const auto in_get = [&] { return sleeper.get(); };
    const auto in_operation = [] { return probe(); };
    const auto in_yield = [] { return yield(); };
    co_await kill_in(in_sleep);
    co_await kill_in(in_join);
    co_await kill_in(in_get);
    co_await kill_in(in_operation);
    co_await kill_in(in_yield);
    CHECK(sleeper.result() == outcome::pending);
  };
  run_on(engine, main());
  CHECK(log == "given given given given given ");
}

// rows: W3 GL-08
TEST_CASE("a fiber killed with an exception before it began ends with it and never runs") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto life = std::make_shared<int>();
    const auto target = spawn([&, life]() -> task<int> {
      log += "not here ";
      co_return 1;
    });
    target.on_done([&](const fiber<int>& ended) { log += sentence_of(ended.error()) + " "; });
    target.request_kill(error_of("too early"));
    CHECK(co_await target.join());
    CHECK(target.result() == outcome::error);
    CHECK(life.use_count() == 1);
    CHECK_THROWS_WITH(co_await target.get(), "too early");
  };
  run_on(engine, main());
  CHECK(log == "too early ");
}

// rows: W14 GL-08
TEST_CASE("an unhandled given exception is reported, whether the fiber began or not") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    spawn(nothing).request_kill(error_of("not begun"));
    {
      const auto begun = spawn(sleep_long);
      co_await yield();
      begun.request_kill(error_of("begun"));
    }
    co_await sleep(1ms);
  };
  run_on(engine, main(), noting(log));
  CHECK(log == "[2 : not begun][3 : begun]");
}

// row: GL-08
TEST_CASE("the first kill determines the outcome of a fiber that has not begun") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto plain_first = spawn(nothing);
    plain_first.request_kill();
    plain_first.request_kill(error_of("second"));
    const auto given_first = spawn(nothing);
    given_first.request_kill(error_of("first"));
    given_first.request_kill();
    given_first.request_kill(error_of("third"));
    CHECK(co_await plain_first.join());
    CHECK(co_await given_first.join());
    CHECK(plain_first.result() == outcome::cancelled);
    CHECK(given_first.result() == outcome::error);
    CHECK_THROWS_WITH(co_await given_first.get(), "first");
  };
  run_on(engine, main());
}

// rows: W4 GL-08
TEST_CASE("kills of both kinds are thrown once each, in the order in which they were requested") {
  scripted_engine engine;
  std::string log;
  const auto kill_all = [](const fiber<>& target, std::string_view kinds) {
    for (const char kind : kinds) {
      if (kind == 'k') {
        target.request_kill();
      } else {
        target.request_kill(error_of(kind == 'a' ? "a" : "b"));
      }
    }
  };
  const auto main = [&]() -> task<> {
    const std::pair<const char*, const char*> orders[] = {
        {"kk", "cancelled cancelled slept slept slept slept "},
        {"ka", "cancelled a slept slept slept slept "},
        {"ak", "a cancelled slept slept slept slept "},
        {"ab", "a b slept slept slept slept "},
        {"kakb", "cancelled a cancelled b slept slept "},
        {"kkabkk", "cancelled cancelled a b cancelled cancelled "},
        {"akkb", "a cancelled cancelled b slept slept "},
    };
    for (const auto& [kinds, expected] : orders) {
      CAPTURE(kinds);
      log.clear();
      const auto target = spawn(note_kills, std::ref(log), 6);
      SUBCASE("all while it waits") {
        co_await yield();
        kill_all(target, kinds);
      }
      SUBCASE("half of them before its first throw, and half behind it") {
        co_await yield();
        const std::string_view all(kinds);
        kill_all(target, all.substr(0, 1));
        co_await yield();
        kill_all(target, all.substr(1));
      }
      CHECK(co_await target.join());
      CHECK(log == expected);
      CHECK(target.result() == outcome::value);
    }
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("a fiber that kills itself with an exception ends with it at once") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    fiber<> self;
    self = spawn([&]() -> task<> {
      log += "a";
      co_await self.kill(error_of("mine"));
      log += "not here";
    });
    co_await self.join();
    CHECK_THROWS_WITH(co_await self.get(), "mine");
    self = spawn([&]() -> task<> {
      self.request_kill(error_of("next"));
      log += "b";
      co_await sleep(1h);
      log += "not here";
    });
    co_await self.join();
    CHECK_THROWS_WITH(co_await self.get(), "next");
  };
  run_on(engine, main());
  CHECK(log == "ab");
}

// row: GL-08
TEST_CASE("a fiber that kills itself may catch the exception and continue") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    fiber<int> self;
    self = spawn([&]() -> task<int> {
      for (int i = 0; i < 200; ++i) {  // more often than the budget
        bool thrown = false;
        try {
          co_await self.kill();
        } catch (const cancelled&) {
          thrown = true;
        }
        CHECK(thrown);
      }
      co_await yield();
      co_return 3;
    });
    CHECK(co_await self.get() == 3);
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("a self-kill in a shield is held back: kill() returns false, and the next wait throws") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    fiber<> self;
    const auto guarded = [&]() -> task<> {
      const bool ended = co_await self.kill();
      log += ended ? "ended " : "held back ";
      co_await sleep(1ms);
      const bool again = co_await self.kill(error_of("given"), 1ms);
      log += again ? "ended " : "held back ";
    };
    self = spawn([&]() -> task<> {
      co_await shield(1h, guarded());
      try {
        co_await yield();
      } catch (const cancelled&) {
        log += "cancelled ";
      }
      co_await yield();
    });
    co_await self.join();
    CHECK_THROWS_WITH(co_await self.get(), "given");
  };
  run_on(engine, main());
  CHECK(log == "held back held back cancelled ");
}

// row: GL-08
TEST_CASE("killing a fiber that has ended returns true at once, and changes nothing") {
  scripted_engine engine;
  std::string log;
  fiber<int> good;
  const auto main = [&]() -> task<> {
    good = spawn(answer);
    const auto bad = spawn(fail, "its own");
    const auto gone = spawn(nothing);
    gone.request_kill();
    co_await yield();
    good.request_kill(error_of("too late"));
    bad.request_kill(error_of("too late"));
    CHECK(co_await good.kill(error_of("too late")));
    CHECK(co_await bad.kill(error_of("too late"), 0s));
    CHECK(co_await gone.kill(error_of("too late")));
    CHECK(good.value() == 42);
    CHECK_THROWS_WITH(co_await bad.get(), "its own");
    CHECK(gone.result() == outcome::cancelled);
  };
  run_on(engine, main(), noting(log));
  CHECK(log.empty());
  good.request_kill(error_of("after the run"));
  CHECK(good.value() == 42);
}

// row: GL-09
TEST_CASE(
    "killing with a null exception is a plain kill, and a given cancelled also ends as cancelled") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto with_null = spawn(sleep_long);
    const auto with_cancelled = spawn(sleep_long);
    const auto not_begun = spawn(sleep_long);
    not_begun.request_kill(std::make_exception_ptr(cancelled()));
    co_await not_begun.join();
    CHECK(not_begun.result() == outcome::cancelled);
    with_null.request_kill(std::exception_ptr());
    CHECK(co_await with_cancelled.kill(std::make_exception_ptr(cancelled())));
    CHECK(with_null.result() == outcome::cancelled);
    CHECK(with_cancelled.result() == outcome::cancelled);
    CHECK(with_cancelled.error() == nullptr);
  };
  run_on(engine, main());
}

// row: GL-09
TEST_CASE("any type can be thrown into a fiber") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto target = spawn(sleep_long);
    co_await yield();
    CHECK(co_await target.kill(std::make_exception_ptr(7)));
    CHECK(target.result() == outcome::error);
    CHECK_THROWS_AS(co_await target.get(), int);
  };
  run_on(engine, main());
}

// rows: W5 GL-08
TEST_CASE("kill returns false when its limit passes, and the fiber continues") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto stubborn = spawn([]() -> task<int> {
      bool thrown = false;
      try {
        co_await sleep(1h);
      } catch (const std::runtime_error&) {
        thrown = true;
      }
      co_await sleep(10ms);
      co_return thrown ? 5 : 6;
    });
    co_await yield();
    const steady_ns begin = engine.now();
    CHECK_FALSE(co_await stubborn.kill(error_of("given"), 4ms));
    CHECK(engine.now() == begin + 4'000'000);
    CHECK_FALSE(stubborn.done());
    CHECK(co_await stubborn.join());
    CHECK(engine.now() == begin + 10'000'000);
    CHECK(stubborn.value() == 5);
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("a kill whose limit has passed still kills, and returns whether the fiber has ended") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto at_once = spawn(sleep_long);
    const auto slow = spawn([]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const std::runtime_error&) {
      }
      co_await sleep(1ms);
    });
    co_await yield();
    CHECK(co_await at_once.kill(0s));
    CHECK_FALSE(co_await slow.kill(error_of("given"), -1h));
    CHECK(engine.now() == scripted_engine::start_time);
    co_await slow.join();
    CHECK(slow.result() == outcome::value);
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("a killed fiber does not get to kill another: every wait is a checkpoint") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto target = spawn(sleep_long);
    const auto killer = spawn([target]() -> task<> {
      current().kill();
      co_await target.kill();
    });
    co_await killer.join();
    CHECK(killer.result() == outcome::cancelled);
    CHECK_FALSE(target.done());
    CHECK(co_await target.kill());
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("two fibers that kill and await each other both end") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    fiber<> a;
    fiber<bool> b;
    b = spawn([&]() -> task<bool> {
      bool killed = false;
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        killed = true;
      }
      const bool ended = co_await a.kill();
      co_return killed&& ended;
    });
    a = spawn([&]() -> task<> { co_await b.kill(); });
    CHECK(co_await b.get());
    CHECK(a.result() == outcome::cancelled);
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("success wins over a given exception, which the next wait throws") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      const std::int32_t got = co_await probe();
      log += std::to_string(got) + " ";
      co_await yield();
      log += "not here";
    });
    co_await yield();
    engine.complete(engine.oldest(opcode::read, 7), 5);
    target.request_kill(error_of("given"));
    co_await target.join();
    CHECK_THROWS_WITH(co_await target.get(), "given");
  };
  run_on(engine, main());
  CHECK(log == "5 ");
}

// row: GL-08
TEST_CASE("a given exception passes through limits, and is rethrown unchanged") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto target =
        spawn([]() -> task<> { co_await with_timeout(2ms, with_timeout(1ms, sleep_long())); });
    co_await yield();
    target.request_kill(error_of("given"));
    CHECK_THROWS_WITH(co_await target.get(), "given");
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("a kill with an exception on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child cannot start threads
  CHECK(aborts_with("a fiber was killed on a thread that is not its scheduler's", [] {
    scripted_engine engine;
    const auto main = []() -> task<> {
      const auto sleeper = spawn(sleep_long);
      co_await yield();
      std::thread([sleeper] { sleeper.request_kill(error_of("given")); }).join();
    };
    run_on(engine, main());
  }));
}

// row: GL-08
TEST_CASE("exceptions that were never thrown are freed with their fiber") {
  scripted_engine engine;
  const auto life = std::make_shared<int>();
  struct holding : std::runtime_error {
    explicit holding(std::shared_ptr<int> what) : runtime_error("holding"), held(std::move(what)) {}
    std::shared_ptr<int> held;
  };
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      for (int i = 0; i < 5; ++i) current().kill_with(std::make_exception_ptr(holding(life)));
      co_return;
    });
    const auto not_begun = spawn(nothing);
    for (int i = 0; i < 5; ++i) not_begun.request_kill(std::make_exception_ptr(holding(life)));
    co_await target.join();
    co_await not_begun.join();
    CHECK(target.result() == outcome::value);
    CHECK(not_begun.error() != nullptr);
    CHECK(life.use_count() > 1);
  };
  run_on(engine, main());
  CHECK(life.use_count() == 1);
}

// The outcome

// rows: W2 GL-05
TEST_CASE(
    "a killed fiber is cancelled, without a value or an error, and get throws "
    "errc::fiber_cancelled") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto target = spawn(sleep_long);
    co_await yield();
    co_await target.kill();
    CHECK(target.result() == outcome::cancelled);
    CHECK(target.done());
    CHECK(target.error() == nullptr);
    bool thrown = false;
    try {
      co_await target.get();
    } catch (const std::system_error& error) {
      thrown = error.code() == errc::fiber_cancelled;
    }
    CHECK(thrown);
  };
  run_on(engine, main());
}

// row: GL-05
TEST_CASE("the outcome of a killed fiber is its last result, not the kill") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto caught = spawn([]() -> task<int> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
      }
      co_return 3;
    });
    const auto thrown_by_itself = spawn([]() -> task<> {
      throw cancelled();
      co_return;
    });
    co_await yield();
    co_await caught.kill();
    CHECK(caught.result() == outcome::value);
    CHECK(thrown_by_itself.result() == outcome::cancelled);
  };
  run_on(engine, main());
}

// row: GL-05
TEST_CASE("reading the value of a fiber that has none aborts") {
  const auto read = [](auto body) {
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      const auto target = spawn(body);
      if (target.id() != 2) co_await yield();
      (void)target.value();
    };
    run_on(engine, main());
  };
  constexpr auto sentence = "the value of a fiber without a value was read";
  CHECK(aborts_with(sentence, [&] { read(answer); }));  // it has not begun
  CHECK(aborts_with(sentence, [] {
    scripted_engine engine;
    const auto main = []() -> task<> {
      const auto target = spawn(answer);
      co_await target.kill();
      (void)target.value();
    };
    run_on(engine, main());
  }));
}

// Allocation

TEST_CASE("kills, joins and ends do not allocate, except a small block for a given exception") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto round = [](bool counted) -> task<> {
      const auto sleeper = spawn(sleep_long);
      const auto joiner = spawn([=]() -> task<> { co_await sleeper.join(1h); });
      const auto not_begun = spawn(sleep_long);
      const std::exception_ptr given = error_of("given");
      joiner.on_done([] {});
      co_await yield();
      const auto victim = spawn(sleep_long);
      const std::size_t before = allocations();
      victim.request_kill();
      sleeper.request_kill();
      const std::size_t killed = allocations();
      joiner.request_kill(given);
      const std::size_t given_one = allocations();
      co_await joiner.join();
      co_await victim.join();
      const std::size_t ended = allocations();
      not_begun.request_kill();
      co_await not_begun.join();
      if (!counted || !allocations_are_counted()) co_return;
      CHECK(killed == before);
      CHECK(given_one == killed + 1);
      CHECK(ended == given_one);
    };
    co_await round(false);  // fills the pools
    co_await round(true);
  };
  std::string reported;
  run_on(engine, main(), noting(reported));
}

TEST_SUITE_END();
