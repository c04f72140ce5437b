// The scheduler itself: turns, fairness, and what it offers to those who add waits of their own.
//
// Method: the scripted engine counts its waits, of which a turn makes one.
#include <ringlet/run.hpp>
#include <ringlet/scheduler.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "scripted_run.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Always ready, until told to stop. Each time it runs a microsecond passes.
task<> storm(scripted_engine& engine, const bool& stop, int& steps) {
  while (!stop) {
    ++steps;
    engine.advance(1000);
    co_await yield();
  }
}

// Has an operation in flight that outlives all fibers.
struct noting_guest final : scheduler_guest {
  noting_guest(scheduler& at, std::string& notes) : home(at), log(notes) {
    op.fd = 7;
    home.carrier().start(op);
    home.add_guest(*this);
  }
  ~noting_guest() { unlink(); }
  void on_shutdown() noexcept override {
    log += "shutdown, ";
    home.carrier().cancel(op);
  }
  void on_scheduler_gone() noexcept override {
    log += op.in_flight() ? "still in flight, " : "completed, ";
    log += "gone";
  }

  scheduler& home;
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

TEST_CASE("a turn resumes a bounded number of fibers before it looks at the engine") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const std::size_t before = engine.waits();
    for (int i = 0; i < 2560; ++i) co_await yield();
    CHECK(engine.waits() - before >= 10);
    CHECK(engine.waits() - before <= 20);  // and not after each one
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
    CHECK(steps <= 1000 + 2 * 256);
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

TEST_CASE("completions come in batches, and those who waited go on in their order") {
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

TEST_CASE("all that is due at the same time goes on in the order of its beginning") {
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

TEST_CASE("time stands still within a turn: waits record when it began") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto sleeper = spawn([]() -> task<> { co_await sleep(1h); });
    const steady_ns turn = current_scheduler().turn_time();
    engine.advance(5'000'000);
    co_await yield();
    CHECK(sleeper.state().current_wait().since == turn);
    CHECK(current_scheduler().now() == turn + 5'000'000);
  };
  run_on(engine, main());
}

// What it knows

TEST_CASE("the scheduler of a thread is there inside of run, and only there") {
  CHECK(current_scheduler_or_null() == nullptr);
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    CHECK(current_scheduler_or_null() == &current_scheduler());
    CHECK(&current_scheduler().carrier() == &engine);
    CHECK(current_scheduler().settings().name == "named");
    scheduler* elsewhere = &current_scheduler();
    std::thread([&] { elsewhere = current_scheduler_or_null(); }).join();
    CHECK(elsewhere == nullptr);
    co_return;
  };
  run_on(engine, main(), {.name = "named"});
  CHECK(current_scheduler_or_null() == nullptr);
}

TEST_CASE("it counts the fibers that have not ended, and visits them oldest first") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    scheduler& home = current_scheduler();
    CHECK(home.live_fibers() == 1);
    std::vector<fiber<>> spawned;
    for (int i = 0; i < 4; ++i) {
      spawned.push_back(spawn([]() -> task<> { co_await sleep(1h); }));
    }
    co_await yield();
    co_await spawned[1].kill();
    CHECK(home.live_fibers() == 4);
    std::string order;
    home.for_each_fiber([&](const fiber_base& each) { order += std::to_string(each.id()); });
    CHECK(order == "1245");
    CHECK(home.running() == &current());
  };
  run_on(engine, main());
}

TEST_CASE("hope keeps a scheduler waiting for something that it does not know") {
  scripted_engine engine;
  fiber<> waiting;
  int idle = 0;
  engine.on_idle = [&] {
    if (++idle == 3) waiting.request_kill();
    return true;
  };
  const auto main = [&]() -> task<> {
    waiting = spawn([]() -> task<> { co_await sleep(std::chrono::hours::max()); });
    current_scheduler().add_hope();
    co_await waiting.join();
    current_scheduler().remove_hope();
  };
  run_on(engine, main());
  CHECK(idle == 3);
}

// Those who outlive the fibers

TEST_CASE("guests are told to end when all fibers have ended, and once more when all is done") {
  scripted_engine engine;
  std::string log;
  std::optional<noting_guest> guest;
  const auto main = [&]() -> task<> {
    guest.emplace(current_scheduler(), log);
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

TEST_CASE("a guest that has left is not told") {
  scripted_engine engine;
  std::string log;
  std::optional<noting_guest> guest;
  const auto main = [&]() -> task<> {
    guest.emplace(current_scheduler(), log);
    engine.complete(guest->op, 0);
    co_await sleep(1ms);
    guest.reset();
  };
  run_on(engine, main());
  CHECK(log.empty());
}

TEST_CASE("those who lack a descriptor are told one by one, in the order of their asking") {
  scripted_engine engine;
  std::string log;
  noting_waiter a(log, 'a');
  noting_waiter b(log, 'b');
  noting_waiter c(log, 'c');
  const auto main = [&]() -> task<> {
    scheduler& home = current_scheduler();
    home.descriptor_freed();
    home.add_starved(a);
    home.add_starved(b);
    home.add_starved(c);
    home.descriptor_freed();
    CHECK(log == "a");
    home.descriptor_freed();
    CHECK(log == "ab");
    co_return;
  };
  run_on(engine, main());
  CHECK(log == "ab");
  CHECK_FALSE(c.linked());
}

// Size

TEST_CASE("a hundred thousand fibers live at once and end in order") {
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
