// What all waits have in common: the checkpoint at the beginning, the budget of waits that need not
// suspend, and what wait_base and list_wait give to authors of waits.
//
// Method: a table of all waits of this layer, tried one by one. Fibers that are killed have no
// co_await inside a CHECK, which would swallow the exception.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/blocking.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <coroutine>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<int> answer() { co_return 42; }

struct named_wait {
  const char* name;
  std::function<task<>()> wait;
};

// Every wait of this layer. Waits on `ended` need not suspend.
std::vector<named_wait> all_waits(const fiber<int>& ended, const fiber<>& victim) {
  static const auto call = [] { FAIL("the call was made"); };
  return {
      {"sleep", []() -> task<> { co_await sleep(1ms); }},
      {"sleep(0)", []() -> task<> { co_await sleep(0s); }},
      {"yield", []() -> task<> { co_await yield(); }},
      {"join", [=]() -> task<> { co_await ended.join(); }},
      {"join with a limit", [=]() -> task<> { co_await ended.join(0s); }},
      {"get", [=]() -> task<> { co_await ended.get(); }},
      {"get, moving out", [=]() -> task<> { co_await fiber(ended).get(); }},
      {"kill", [=]() -> task<> { co_await victim.kill(); }},
      {"joinall", [=]() -> task<> { co_await joinall(ended, ended); }},
      {"with_timeout", [=]() -> task<> { co_await with_timeout(1h, ended.join()); }},
      {"operation", []() -> task<> { co_await probe(); }},
      {"blocking", []() -> task<> { co_await blocking(call); }},
      {"as_result(sleep)", []() -> task<> { (void)co_await as_result(sleep(1ms)); }},
      {"as_result(yield)", []() -> task<> { (void)co_await as_result(yield()); }},
      {"as_result(join)", [=]() -> task<> { (void)co_await as_result(ended.join()); }},
      {"as_result(get)", [=]() -> task<> { (void)co_await as_result(ended.get()); }},
      {"as_result(operation)", []() -> task<> { (void)co_await as_result(probe()); }},
      {"as_result(blocking)", []() -> task<> { (void)co_await as_result(blocking(call)); }},
  };
}

// What the wait does in a fiber that has been killed, or in a cancelled scope.
task<> note_interruption(std::function<task<>()> wait, int& thrown) {
  try {
    co_await wait();
  } catch (const cancelled&) {
    ++thrown;
  }
}

}  // namespace

TEST_SUITE_BEGIN("wait");

// Checkpoints

TEST_CASE("every wait first throws a pending kill, before it takes anything") {
  scripted_engine engine;
  // Not in the main task, whose kill would end the victim.
  const auto killed = [&]() -> task<> {
    const auto ended = spawn(answer);
    const auto victim = spawn([]() -> task<> { co_await sleep(1h); });
    co_await ended.join();
    const steady_ns begin = engine.now();
    for (const named_wait& each : all_waits(ended, victim)) {
      CAPTURE(each.name);
      int thrown = 0;
      current().kill();
      co_await note_interruption(each.wait, thrown);
      CHECK(thrown == 1);
    }
    CHECK(engine.now() == begin);
    CHECK(engine.started(opcode::read) == 0);
    CHECK(victim.result() == outcome::pending);
    CHECK(co_await ended.get() == 42);
  };
  const auto main = [&]() -> task<> { co_await spawn(killed).get(); };
  run_on(engine, main());
}

TEST_CASE("every wait inside a cancelled scope throws, however many there are") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto ended = spawn(answer);
    const auto victim = spawn([]() -> task<> { co_await sleep(1h); });
    co_await ended.join();
    const std::vector<named_wait> waits = all_waits(ended, victim);
    int thrown = 0;
    const auto call = [&]() -> task<> {
      co_await note_interruption([]() -> task<> { co_await sleep(1h); }, thrown);
      for (const named_wait& each : waits) co_await note_interruption(each.wait, thrown);
      for (const named_wait& each : waits) co_await note_interruption(each.wait, thrown);
    };
    co_await with_timeout(1ms, call());
    CHECK(static_cast<std::size_t>(thrown) == 1 + 2 * waits.size());
    CHECK(engine.started(opcode::read) == 0);
    CHECK(victim.result() == outcome::pending);
  };
  run_on(engine, main());
}

// The budget

TEST_CASE("a loop over ready waits lets other fibers run, at least once in 128 waits") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto ended = spawn(answer);
    co_await ended.join();
    int longest = 0;
    int in_a_row = 0;
    bool stop = false;
    const auto other = spawn([&]() -> task<> {
      while (!stop) {
        in_a_row = 0;
        co_await yield();
      }
    });
    for (int i = 0; i < 10'000; ++i) {
      longest = std::max(longest, ++in_a_row);
      co_await ended.join();
    }
    stop = true;
    co_await other.join();
    CHECK(longest <= 128);
    CHECK(longest >= 100);  // and is not unwound without need
  };
  run_on(engine, main());
}

TEST_CASE("deeply nested calls do not renew the budget") {
  // Regression: a chain of calls that outgrew the stack returned with a new budget, so that such a
  // loop kept every other fiber from running.
  scripted_engine engine;
  struct deep {
    static task<> call(int depth) {
      if (depth > 0) co_await call(depth - 1);
    }
  };
  const auto main = []() -> task<> {
    const auto ended = spawn(answer);
    co_await ended.join();
    bool ran = false;
    spawn([&]() -> task<> {
      ran = true;
      co_return;
    });
    for (int i = 0; i < 1000 && !ran; ++i) {
      co_await deep::call(1000);
      co_await ended.join();
    }
    CHECK(ran);
  };
  run_on(engine, main());
}

TEST_CASE("an endless loop over ready waits cannot escape a kill") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto ended = spawn(answer);
    const auto loop = spawn([=]() -> task<> {
      for (;;) co_await ended.join();
    });
    co_await yield();
    CHECK(co_await loop.kill());
    CHECK(loop.result() == outcome::cancelled);
  };
  run_on(engine, main());
}

TEST_CASE("an endless loop over ready waits cannot escape a limit around it, nor stop the clock") {
  const auto main = []() -> task<> {
    const auto ended = spawn(answer);
    const auto loop = [=]() -> task<> {
      for (;;) co_await ended.join();
    };
    CHECK_THROWS_AS(co_await with_timeout(1ms, loop()), timed_out);
  };
  run(main());
}

TEST_CASE("a fiber that swallows cancellation in a loop lets other fibers run") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    bool stop = false;
    const auto swallowing = [&]() -> task<> {
      while (!stop) {
        try {
          co_await sleep(1h);
        } catch (const cancelled&) {
        }
      }
    };
    const auto swallower = spawn([&]() -> task<> { co_await with_timeout(1ms, swallowing()); });
    // The clock stands still from now on, because a fiber is always ready.
    co_await sleep(1ms);
    for (int i = 0; i < 100; ++i) co_await yield();
    CHECK(swallower.result() == outcome::pending);
    stop = true;
    CHECK(co_await swallower.join());
    CHECK(swallower.result() == outcome::value);  // success wins
  };
  run_on(engine, main());
}

TEST_CASE("a fiber killed after its wait has failed throws cancelled, not the failure") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    queue<int> in, out(0);
    pool workers(0);
    const std::vector<named_wait> waits{
        {"pop", [&]() -> task<> { co_await in.pop(); }},
        {"as_result(pop)", [&]() -> task<> { (void)co_await as_result(in.pop()); }},
        {"push", [&]() -> task<> { co_await out.push(1); }},
        {"as_result(push)", [&]() -> task<> { (void)co_await as_result(out.push(1)); }},
        {"spawn of a pool", [&]() -> task<> { co_await workers.spawn(answer); }},
        {"wait_available", [&]() -> task<> { co_await workers.wait_available(); }},
    };
    std::vector<fiber<>> waiting;
    for (const named_wait& each : waits) waiting.push_back(spawn(each.wait));
    co_await yield();
    in.close();
    out.close();
    workers.close();
    for (const fiber<>& one : waiting) one.request_kill();
    for (std::size_t i = 0; i < waits.size(); ++i) {
      CAPTURE(waits[i].name);
      co_await waiting[i].join();
      CHECK(waiting[i].result() == outcome::cancelled);
    }
  };
  run_on(engine, main());
}

// Custom waits

namespace {

// The smallest object that can be waited for.
class latch {
 public:
  class [[nodiscard]] wait : public list_wait {
   public:
    wait(latch& on, time_limit timeout) noexcept : list_wait(timeout), on_(&on) {}
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
      return begin(caller.promise());
    }
    bool await_resume() {
      rethrow_interruption();
      return reason_ == cancel_reason::none;
    }

   private:
    bool begin(frame_record& at) noexcept {
      if (!enter(at)) return continue_or_yield(at);
      if (on_->open_) return continue_or_yield(at);
      on_->waiters_.push_back(*this);
      suspend(type, at);
      return true;
    }
    static const wait_type type;
    latch* on_;
  };

  wait until_open(time_limit timeout = forever) { return wait(*this, timeout); }
  void open() {
    open_ = true;
    while (!waiters_.empty()) waiters_.front().complete();
  }
  void let_one_through() { waiters_.front().complete(); }
  bool has_waiters() const { return !const_cast<latch*>(this)->waiters_.empty(); }

 private:
  wait_list waiters_;
  bool open_ = false;
};

const wait_type latch::wait::type = make_type<wait>("latch");

task<> pass(latch& gate, std::string& log, char name) {
  try {
    const bool opened = co_await gate.until_open(name == 'l' ? time_limit(1ms) : forever);
    log += opened ? name : '-';
  } catch (const cancelled&) {
    log += 'x';
  }
}

}  // namespace

TEST_CASE("fibers that wait in a list are resumed in order, from the run queue") {
  scripted_engine engine;
  latch gate;
  std::string log;
  const auto main = [&]() -> task<> {
    for (const char name : {'a', 'b', 'c', 'd'}) spawn(pass, std::ref(gate), std::ref(log), name);
    co_await yield();
    gate.let_one_through();
    CHECK(log.empty());
    co_await yield();
    CHECK(log == "a");
    gate.open();
    co_await yield();
    CHECK(log == "abcd");
    CHECK(co_await gate.until_open());
    CHECK(co_await gate.until_open(0s));
  };
  run_on(engine, main());
}

TEST_CASE("a fiber that is killed or times out leaves the list, and the rest keep their order") {
  scripted_engine engine;
  latch gate;
  std::string log;
  const auto main = [&]() -> task<> {
    spawn(pass, std::ref(gate), std::ref(log), 'a');
    spawn(pass, std::ref(gate), std::ref(log), 'l');
    const auto killed = spawn(pass, std::ref(gate), std::ref(log), 'k');
    spawn(pass, std::ref(gate), std::ref(log), 'b');
    co_await sleep(2ms);
    CHECK(log == "-");
    co_await killed.kill();
    CHECK(log == "-x");
    gate.open();
    co_await sleep(1ms);
    CHECK(log == "-xab");
  };
  run_on(engine, main());
}

TEST_CASE("success wins: a fiber that was let through before a kill or timeout succeeds") {
  scripted_engine engine;
  latch gate;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto killed = spawn(pass, std::ref(gate), std::ref(log), 'k');
    spawn(pass, std::ref(gate), std::ref(log), 'l');
    co_await yield();
    gate.open();
    killed.request_kill();
    engine.advance(5'000'000);
    co_await yield();
    CHECK(log == "kl");
    CHECK_FALSE(gate.has_waiters());
  };
  run_on(engine, main());
}

TEST_CASE("waiting, waking and limits do not allocate") {
  scripted_engine engine;
  latch gate;
  std::string log(100, ' ');
  log.clear();
  const auto main = [&]() -> task<> {
    const auto first = spawn(pass, std::ref(gate), std::ref(log), 'a');
    const auto second = spawn(pass, std::ref(gate), std::ref(log), 'l');
    const std::size_t before = allocations();
    co_await yield();
    co_await sleep(2ms);
    gate.open();
    co_await first.join();
    co_await second.join();
    CHECK(allocations() == before);
    CHECK(log == "-a");
  };
  run_on(engine, main());
}

TEST_CASE("awaiting a wait twice aborts, whatever the outcome of the first time") {
  CHECK(aborts_with("a wait was awaited twice", [] {
    run([]() -> task<> {
      auto kept = sleep(1ms);
      co_await std::move(kept);
      co_await std::move(kept);
    }());
  }));
  CHECK(aborts_with("a wait was awaited twice", [] {
    run([]() -> task<> {  // it need not suspend
      const auto ended = spawn(answer());
      co_await ended.join();
      auto kept = ended.join();
      co_await std::move(kept);
      co_await std::move(kept);
    }());
  }));
  CHECK(aborts_with("a wait was awaited twice", [] {
    run([]() -> task<> {  // by two fibers
      auto kept = sleep(1h);
      const auto await_it = [&kept]() -> task<> { co_await std::move(kept); };
      spawn(await_it);
      spawn(await_it);
      co_await sleep(1ms);
    }());
  }));
  CHECK(aborts_with("a wait was awaited twice, the second time in a select()", [] {
    run([]() -> task<> {
      auto kept = sleep(1ms);
      co_await std::move(kept);
      co_await select(std::move(kept), sleep(1s));
    }());
  }));
}

TEST_SUITE_END();
