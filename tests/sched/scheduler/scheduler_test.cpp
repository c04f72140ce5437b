// The scheduler itself: turns, fairness, and what it offers to authors of waits.
//
// Method: the scripted engine counts its waits; a turn makes one.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/scripted_run.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Always ready, until told to stop. A microsecond passes each time it runs.
task<> storm(scripted_engine& engine, const bool& stop, int& steps) {
  while (!stop) {
    ++steps;
    engine.advance(1000);
    co_await yield();
  }
}

// Always ready, until told to stop. Computes for that long each time it runs.
task<> compute(scripted_engine& engine, const bool& stop, steady_ns time) {
  while (!stop) {
    engine.advance(time);
    co_await yield();
  }
}

// The largest delay of a sleep of a millisecond.
task<steady_ns> longest_delay(scripted_engine& engine, int sleeps) {
  steady_ns longest = 0;
  for (int i = 0; i < sleeps; ++i) {
    const steady_ns due = engine.now() + 1'000'000;
    co_await sleep(1ms);
    longest = std::max(longest, engine.now() - due);
  }
  co_return longest;
}

// Records the turn and the time at which it runs, as a timer and as posted work.
struct noted_turns {
  explicit noted_turns(scripted_engine& looked_at) : engine(looked_at) {}
  void note() {
    if (engine.waits() != last_turn) in_this_turn = 0;
    last_turn = engine.waits();
    most_in_a_turn = std::max(most_in_a_turn, ++in_this_turn);
    ++count;
    last_time = engine.now();
  }

  scripted_engine& engine;
  std::size_t last_turn = 0;
  int in_this_turn = 0;
  int most_in_a_turn = 0;
  int count = 0;
  steady_ns last_time = 0;
};

struct noting_timer : timer_entry {
  noting_timer(timer_queue& queue, noted_turns& notes)
      : timer_entry(queue), timers(queue), turns(notes) {}
  ~noting_timer() { timers.give_place(); }
  void arm(steady_ns deadline) noexcept {
    timers.arm(*this, deadline,
               [](timer_entry& due) noexcept { static_cast<noting_timer&>(due).turns.note(); });
  }
  timer_queue& timers;
  noted_turns& turns;
};

struct noting_work : posted_work {
  explicit noting_work(noted_turns& notes) : turns(notes) {
    run = [](posted_work& self) noexcept { static_cast<noting_work&>(self).turns.note(); };
  }
  noted_turns& turns;
};

// Has an operation in flight that outlives all fibers.
struct noting_hook final : shutdown_hook {
  noting_hook(extend::scheduler& at, std::string& notes) : scheduler(at), log(notes) {
    op.fd = 7;
    scheduler.engine().start(op);
    scheduler.hooks().add(*this);
  }
  ~noting_hook() { unlink(); }
  void on_shutdown() noexcept override {
    log += "shutdown, ";
    scheduler.engine().cancel(op);
  }
  void on_scheduler_gone() noexcept override {
    log += op.in_flight() ? "still in flight, " : "completed, ";
    log += "gone";
  }

  extend::scheduler& scheduler;
  std::string& log;
  operation op{opcode::read, [](operation&, const completion&) noexcept {}};
};

struct noting_waiter final : descriptor_waiter {
  noting_waiter(std::string& notes, char letter) : log(notes), name(letter) {}
  void on_descriptor_freed() noexcept override { log += name; }
  std::string& log;
  char name;
};

}  // namespace

TEST_SUITE_BEGIN("scheduler");

// Turns

// row: HB-17
TEST_CASE("a turn resumes at most 256 fibers before it polls the engine") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const std::size_t before = engine.waits();
    for (int i = 0; i < 2560; ++i) co_await yield();
    CHECK(engine.waits() - before == 10);
  };
  run_on(engine, main());
}

TEST_CASE("fibers that are always ready do not starve a timer") {
  scripted_engine engine;
  bool stop = false;
  int steps = 0;
  const auto main = [&]() -> task<> {
    spawn(storm, std::ref(engine), std::cref(stop), std::ref(steps));
    co_await sleep(1ms);  // 1000 steps of the storm
    stop = true;
    CHECK(steps <= 1000 + 256);  // due timers run before the next batch
  };
  run_on(engine, main());
}

TEST_CASE("fibers that are always ready do not starve an operation") {
  scripted_engine engine;
  bool stop = false;
  int steps = 0;
  const auto main = [&]() -> task<> {
    engine.on_start = [&](operation& op) { engine.complete(op, 1); };
    for (int i = 0; i < 10; ++i) spawn(storm, std::ref(engine), std::cref(stop), std::ref(steps));
    for (int i = 0; i < 10; ++i) CHECK(co_await probe() == 1);
    stop = true;
    CHECK(steps <= 10 * 2 * 256);
  };
  run_on(engine, main());
}

TEST_CASE("fibers that are always ready do not starve posted work") {
  scripted_engine engine;
  bool stop = false;
  int steps = 0;
  struct stop_work : posted_work {
    explicit stop_work(bool& flag) : posted_work{nullptr, &set}, target(flag) {}
    static void set(posted_work& self) noexcept { static_cast<stop_work&>(self).target = true; }
    bool& target;
  };
  stop_work work(stop);
  const auto main = [&]() -> task<> {
    engine.post(work);
    co_await storm(engine, stop, steps);
    CHECK(steps <= 2 * 256);
  };
  run_on(engine, main());
}

// row: HB-17
TEST_CASE("a fiber that computes between its yields delays timers by about a millisecond") {
  // The largest number of resumptions from one reading of the clock to the next. (At least two,
  // because the sleeper's own resumptions take no time.)
  for (const auto& [time, apart] :
       {std::pair<steady_ns, int>{10'000, 25}, {100'000, 2}, {300'000, 2}, {1'000'000, 2}}) {
    CAPTURE(time);
    scripted_engine engine;
    bool stop = false;
    const auto main = [&]() -> task<> {
      spawn(compute, std::ref(engine), std::cref(stop), steady_ns{time});
      co_await sleep(10ms);  // until the duration of a resumption is known
      CHECK(co_await longest_delay(engine, 100) <= 1'000'000 + apart * time);
      stop = true;
    };
    run_on(engine, main());
  }
}

TEST_CASE("a fiber that computes between its yields delays operations by about a millisecond") {
  scripted_engine engine;
  bool stop = false;
  const auto main = [&]() -> task<> {
    engine.on_start = [&](operation& op) { engine.complete(op, 1); };
    spawn(compute, std::ref(engine), std::cref(stop), 100'000);
    co_await sleep(10ms);
    steady_ns longest = 0;
    for (int i = 0; i < 100; ++i) {
      const steady_ns begin = engine.now();
      CHECK(co_await probe() == 1);
      longest = std::max(longest, engine.now() - begin);
    }
    CHECK(longest <= 1'000'000 + 2 * 100'000);
    stop = true;
  };
  run_on(engine, main());
}

TEST_CASE("many short resumptions before a long one do not hide it from the clock") {
  for (const int others : {3, 200, 800}) {
    CAPTURE(others);
    scripted_engine engine;
    bool stop = false;
    const auto main = [&]() -> task<> {
      engine.on_start = [&](operation& op) { engine.complete(op, 1); };
      const auto probe_often = [&]() -> task<> {
        while (!stop) CHECK(co_await probe() == 1);
      };
      for (int i = 0; i < others; ++i) spawn(probe_often);
      spawn(compute, std::ref(engine), std::cref(stop), 1'000'000);
      co_await sleep(50ms);
      CHECK(co_await longest_delay(engine, 100) <= 2'000'000);
      stop = true;
    };
    run_on(engine, main());
  }
}

TEST_CASE("short resumptions between long ones do not hide them from the clock") {
  scripted_engine engine;
  bool stop = false;
  const auto main = [&]() -> task<> {
    for (int i = 0; i < 5; ++i) {
      spawn(compute, std::ref(engine), std::cref(stop), 1'000'000);
      spawn(compute, std::ref(engine), std::cref(stop), 0);
    }
    co_await sleep(50ms);
    const std::size_t waits = engine.waits();
    const steady_ns begin = engine.now();
    co_await sleep(100ms);
    const auto turns = static_cast<steady_ns>(engine.waits() - waits);
    CHECK((engine.now() - begin) / turns <= 2'000'000);
    stop = true;
  };
  run_on(engine, main());
}

TEST_CASE("the scheduler also times fibers whose batches end before it reads the clock") {
  scripted_engine engine;
  bool stop = false;
  const auto main = [&]() -> task<> {
    for (int i = 0; i < 200; ++i) co_await yield();  // cheap ones: the clock is read rarely
    // Each batch ends when all fifty have run: they are ready again only in the next turn.
    for (int i = 0; i < 50; ++i) {
      spawn([&]() -> task<> {
        while (!stop) {
          engine.advance(100'000);
          co_await sleep(0s);
        }
      });
    }
    co_await sleep(50ms);
    const std::size_t waits = engine.waits();
    const steady_ns begin = engine.now();
    co_await sleep(100ms);
    const auto turns = static_cast<steady_ns>(engine.waits() - waits);
    CHECK((engine.now() - begin) / turns <= 1'000'000 + 2 * 100'000);
    stop = true;
  };
  run_on(engine, main());
}

TEST_CASE("the clock is read once in 64 resumptions that take no time") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    for (int i = 0; i < 1000; ++i) co_await yield();
    const std::size_t before = engine.clock_readings();
    for (int i = 0; i < 6400; ++i) co_await yield();
    CHECK(engine.clock_readings() - before <= 100 + 6400 / 256 + 1);  // and once after each wait
  };
  run_on(engine, main());
}

TEST_CASE("the time that posted work takes does not shorten the batch") {
  scripted_engine engine;
  bool stop = false;
  int steps = 0;
  struct slow_work : posted_work {
    slow_work(scripted_engine& at, const bool& ended) : used(at), stop(ended) {
      run = [](posted_work& self) noexcept {
        auto& me = static_cast<slow_work&>(self);
        me.used.advance(2'000'000);
        if (!me.stop) me.used.post(me);
      };
    }
    scripted_engine& used;
    const bool& stop;
  };
  slow_work work(engine, stop);
  const auto main = [&]() -> task<> {
    engine.post(work);
    const auto busy = spawn(storm, std::ref(engine), std::cref(stop), std::ref(steps));
    co_await sleep(100ms);
    CHECK(steps >= 100 / 3 * 256);  // the same as without it
    stop = true;
    co_await busy.join();
  };
  run_on(engine, main());
}

TEST_CASE("one turn runs at most 256 due timers, and the next turn follows at once") {
  scripted_engine engine;
  noted_turns turns(engine);
  std::deque<noting_timer> timers;
  const auto main = [&]() -> task<> {
    timer_queue& queue = current_scheduler().timers();
    const steady_ns due = engine.now() + 1'000'000;
    for (int i = 0; i < 1000; ++i) timers.emplace_back(queue, turns).arm(due);
    co_await sleep(1h);
    CHECK(turns.count == 1000);
    CHECK(turns.most_in_a_turn == 256);
    CHECK(turns.last_time == due);
    timers.clear();
  };
  run_on(engine, main());
}

TEST_CASE("one turn runs at most 256 pieces of posted work, and the next turn follows at once") {
  scripted_engine engine;
  noted_turns turns(engine);
  std::deque<noting_work> works;
  const auto main = [&]() -> task<> {
    for (int i = 0; i < 1000; ++i) engine.post(works.emplace_back(turns));
    const steady_ns begin = engine.now();
    co_await sleep(1h);
    CHECK(turns.count == 1000);
    CHECK(turns.most_in_a_turn == 256);
    CHECK(turns.last_time == begin);
  };
  run_on(engine, main());
}

TEST_CASE("one turn calls at most 256 late callbacks, and the next turn follows at once") {
  scripted_engine engine;
  noted_turns turns(engine);
  const auto main = [&]() -> task<> {
    const auto ended = spawn([]() -> task<> { co_return; });
    co_await ended.join();
    for (int i = 0; i < 1000; ++i) ended.on_done([&](const fiber<>&) { turns.note(); });
    const steady_ns begin = engine.now();
    co_await sleep(1h);
    CHECK(turns.count == 1000);
    CHECK(turns.most_in_a_turn == 256);
    CHECK(turns.last_time == begin);
  };
  run_on(engine, main());
}

TEST_CASE("work posted before the end of the run is run, however much there is") {
  scripted_engine engine;
  noted_turns turns(engine);
  std::deque<noting_work> works;
  const auto main = [&]() -> task<> {
    for (int i = 0; i < 1000; ++i) engine.post(works.emplace_back(turns));
    co_return;
  };
  run_on(engine, main());
  CHECK(turns.count == 1000);
}

TEST_CASE("completions are taken in batches, and their waiters continue in order") {
  constexpr int count = 1000;
  scripted_engine engine;
  std::vector<int> order;
  const auto main = [&]() -> task<> {
    for (int i = 0; i < count; ++i) {
      spawn([&order, i]() -> task<> {
        co_await probe(i);
        order.push_back(i);
      });
    }
    while (engine.waiting().size() != count) co_await yield();
    for (int i = 0; i < count; ++i) engine.complete(engine.oldest(opcode::read, i), 0);
    const std::size_t before = engine.waits();
    while (order.size() != count) co_await yield();
    CHECK(engine.waits() - before <= 20);
  };
  run_on(engine, main());
  CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("waits that are due at the same time continue in the order in which they began") {
  scripted_engine engine;
  std::vector<int> order;
  const auto main = [&]() -> task<> {
    for (int i = 0; i < 1000; ++i) {
      spawn([&order, i]() -> task<> {
        co_await sleep(1ms);
        order.push_back(i);
      });
    }
    co_await sleep(2ms);
    CHECK(order.size() == 1000);
    CHECK(std::is_sorted(order.begin(), order.end()));
  };
  run_on(engine, main());
}

TEST_CASE("time stands still within a turn: waits record when the turn began") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto sleeper = spawn([]() -> task<> { co_await sleep(1h); });
    const steady_ns turn = current_scheduler().turn_time();
    engine.advance(500'000);
    co_await yield();
    CHECK(sleeper.state().current_wait().since == turn);
    CHECK(current_scheduler().now() == turn + 500'000);
  };
  run_on(engine, main());
}

// The scheduler's data

TEST_CASE("a thread has a scheduler inside run, and only there") {
  CHECK(current_scheduler_or_null() == nullptr);
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    CHECK(current_scheduler_or_null() == &current_scheduler());
    CHECK(&current_scheduler().engine() == &engine);
    CHECK(current_scheduler().settings().name == "named");
    scheduler* elsewhere = &current_scheduler();
    std::thread([&] { elsewhere = current_scheduler_or_null(); }).join();
    CHECK(elsewhere == nullptr);
    co_return;
  };
  run_on(engine, main(), {.name = "named"});
  CHECK(current_scheduler_or_null() == nullptr);
}

// row: GL-03
TEST_CASE("a scheduler counts the fibers that have not ended, and visits them oldest first") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    extend::scheduler& scheduler = current_scheduler();
    CHECK(scheduler.fibers().count() == 1);
    std::vector<fiber<>> spawned;
    for (int i = 0; i < 4; ++i) {
      spawned.push_back(spawn([]() -> task<> { co_await sleep(1h); }));
    }
    co_await yield();
    co_await spawned[1].kill();
    CHECK(scheduler.fibers().count() == 4);
    std::string order;
    scheduler.fibers().for_each(
        [&](const fiber_base& each) { order += std::to_string(each.id()); });
    CHECK(order == "1245");
    CHECK(scheduler.running() == &current());
  };
  run_on(engine, main());
}

TEST_CASE("an external wait keeps a scheduler waiting for an event that it does not know") {
  scripted_engine engine;
  fiber<> waiting;
  int idle = 0;
  engine.on_idle = [&] {
    if (++idle == 3) waiting.request_kill();
    return true;
  };
  const auto main = [&]() -> task<> {
    waiting = spawn([]() -> task<> { co_await sleep(std::chrono::hours::max()); });
    current_scheduler().external().begin();
    co_await waiting.join();
    current_scheduler().external().end();
  };
  run_on(engine, main());
  CHECK(idle == 3);
}

// Objects that outlive the fibers

TEST_CASE("shutdown hooks are told to end when all fibers have ended, and again when all is done") {
  scripted_engine engine;
  std::string log;
  std::optional<noting_hook> hook;
  const auto main = [&]() -> task<> {
    hook.emplace(current_scheduler(), log);
    spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        log += "fiber ends, ";
        throw;
      }
    });
    co_await yield();
  };
  run_on(engine, main());
  CHECK(log == "fiber ends, shutdown, completed, gone");
}

TEST_CASE("a removed shutdown hook is not called") {
  scripted_engine engine;
  std::string log;
  std::optional<noting_hook> hook;
  const auto main = [&]() -> task<> {
    hook.emplace(current_scheduler(), log);
    engine.complete(hook->op, 0);
    co_await sleep(1ms);
    hook.reset();
  };
  run_on(engine, main());
  CHECK(log.empty());
}

TEST_CASE("waiters for a descriptor are notified one by one, in the order of their requests") {
  scripted_engine engine;
  std::string log;
  noting_waiter a(log, 'a');
  noting_waiter b(log, 'b');
  noting_waiter c(log, 'c');
  const auto main = [&]() -> task<> {
    extend::scheduler& scheduler = current_scheduler();
    scheduler.close_descriptor(7);
    scheduler.engine().descriptor_waiters().add(a);
    scheduler.engine().descriptor_waiters().add(b);
    scheduler.engine().descriptor_waiters().add(c);
    scheduler.close_descriptor(7);
    CHECK(log == "a");
    scheduler.close_descriptor(7);
    CHECK(log == "ab");
    co_return;
  };
  run_on(engine, main());
  CHECK(log == "ab");
  CHECK_FALSE(c.linked());
}

// Size

// row: GL-03
TEST_CASE("a hundred thousand fibers can live at once and end in order") {
  scripted_engine engine;
  constexpr int count = 100'000;
  int next = 0;
  int in_order = 0;
  const auto main = [&]() -> task<> {
    for (int i = 0; i < count; ++i) {
      spawn([&next, &in_order, i]() -> task<> {
        co_await sleep(1ms);
        in_order += static_cast<int>(i == next++);
      });
    }
    co_await sleep(2ms);
  };
  run_on(engine, main());
  CHECK(in_order == count);
}

TEST_SUITE_END();
