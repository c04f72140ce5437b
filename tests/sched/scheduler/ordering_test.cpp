// Which fiber runs when: gevent's ordering model as interleavings, and where ringlet is stricter.
//
// The model: woken fibers go to the end of one run queue. A turn resumes at most 256 fibers from
// its head, then expires timers, then takes completions from the engine, then runs work that other
// threads have posted. So no fiber runs inside the call that woke it.
//
// Method: fibers note their steps in one string; the scripted engine decides what completes when.
// Cases marked *stricter* promise more than gevent does.
// SPDX-License-Identifier: MIT
#include <ringlet/fiber.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/run.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sched/scripted_run.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<> note(std::string& log, std::string_view word) {
  log += word;
  co_return;
}

// Notes its name with 1, 2 and so on, with a yield after each.
task<> take_steps(std::string& log, std::string name, int count) {
  for (int i = 1; i <= count; ++i) {
    log += name + std::to_string(i) + " ";
    co_await yield();
  }
}

task<> sleep_and_note(std::string& log, std::chrono::milliseconds time, std::string_view word) {
  co_await sleep(time);
  log += word;
}

task<> read_and_note(std::string& log, int fd, std::string_view word) {
  co_await probe(fd);
  log += word;
}

}  // namespace

TEST_SUITE_BEGIN("ordering");

// start, spawn

// row: W1
TEST_CASE("spawned fibers begin when the spawner waits, and take turns: 1A 2A 1B 2B") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto steps = [&](const char* first, const char* second) -> task<> {
      log += first;
      co_await yield();
      log += second;
    };
    const auto one = spawn(steps, "1A ", "1B ");
    const auto two = spawn(steps, "2A ", "2B ");
    log += "main ";
    co_await joinall(one, two);
  };
  run_on(engine, main());
  CHECK(log == "main 1A 2A 1B 2B ");
}

// row: W1
TEST_CASE(
    "a body runs until it waits, and the fibers that it spawns run behind those already queued") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto nested = [&]() -> task<> {
      log += "a ";
      spawn(note, std::ref(log), "child-of-a ");
      log += "a-goes-on ";
      co_return;
    };
    spawn(nested);
    spawn(note, std::ref(log), "b ");
    co_await yield();
    log += "main ";
    co_await yield();
  };
  run_on(engine, main());
  CHECK(log == "a a-goes-on b main child-of-a ");
}

// row: HB-02
TEST_CASE("fibers that are added while the queue is drained run in the same drain") {
  scripted_engine engine;
  std::string log;
  std::size_t waits = 0;
  const auto main = [&]() -> task<> {
    const auto before = engine.waits();
    const auto a = spawn(take_steps, std::ref(log), "a", 3);
    const auto b = spawn(take_steps, std::ref(log), "b", 2);
    co_await joinall(a, b);
    waits = engine.waits() - before;
  };
  run_on(engine, main());
  CHECK(log == "a1 b1 a2 b2 a3 ");
  CHECK(waits == 0);
}

// Death with links

// row: W16
TEST_CASE("all callbacks of a fiber run at its end, before any other fiber (stricter)") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await yield();
      co_await yield();
      log += "end ";
    });
    const auto joining = [&](const char* word) -> task<> {
      co_await target.join();
      log += word;
    };
    const auto one = spawn(joining, "join1 ");
    const auto ready = spawn(take_steps, std::ref(log), "ready", 4);
    co_await yield();
    target.on_done([&] { log += "link1 "; });
    const auto two = spawn(joining, "join2 ");
    target.on_done([&] { log += "link2 "; });
    co_await joinall(one, two, ready);
  };
  run_on(engine, main());
  // gevent calls links in a callback queued at the death, and resumes a join inside that callback.
  // Here a join is queued at the death, in registration order, and resumes no fiber out of turn.
  CHECK(log == "ready1 ready2 end link1 link2 ready3 join1 join2 ready4 ");
}

// row: W16
TEST_CASE("no join returns between a fiber's end and its callbacks (stricter)") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn(note, std::ref(log), "end ");
    target.on_done([&] { log += "link "; });
    // Queued behind the target, so it joins after the death; in gevent before the links ran.
    const auto late = spawn([&]() -> task<> {
      CHECK(target.done());
      co_await target.join();
      log += "late join ";
    });
    co_await late.join();
  };
  run_on(engine, main());
  CHECK(log == "end link late join ");
}

// row: W16
TEST_CASE("callbacks of several fibers that end in one drain run at each end") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto a = spawn(note, std::ref(log), "a ");
    const auto b = spawn(note, std::ref(log), "b ");
    b.on_done([&] { log += "b-link "; });
    a.on_done([&] { log += "a-link1 "; });
    a.on_done([&] { log += "a-link2 "; });
    co_await joinall(a, b);
    log += "main ";
  };
  run_on(engine, main());
  CHECK(log == "a a-link1 a-link2 b b-link main ");
}

// row: W16
TEST_CASE("a callback on an ended fiber runs asynchronously, behind the fibers that are ready") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto dead = spawn(note, std::ref(log), "end ");
    co_await dead.join();
    const auto ready = spawn(take_steps, std::ref(log), "ready", 2);
    dead.on_done([&] { log += "link "; });
    log += "main ";
    co_await sleep(0s);
  };
  run_on(engine, main());
  CHECK(log == "end main ready1 ready2 link ");
}

TEST_CASE("fibers that join, get and wait for some continue in registration order") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
      }
    });
    const std::vector<fiber<>> list = {target};
    const auto get = spawn([&]() -> task<> {
      co_await target.get();
      log += "get ";
    });
    const auto some = spawn([&]() -> task<> {
      const auto places = co_await wait_some(list, join_options::all);
      log += "wait ";
    });
    const auto join = spawn([&]() -> task<> {
      co_await target.join();
      log += "join ";
    });
    const auto kill = spawn([&]() -> task<> {
      co_await yield();
      co_await target.kill();
      log += "kill ";
    });
    co_await joinall(get, some, join, kill);
  };
  run_on(engine, main());
  CHECK(log == "get wait join kill ");
}

// kill, killall

TEST_CASE("a kill queues its target behind the ready fibers, and the killer is woken afterwards") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        log += "cleanup ";
      }
      co_await yield();
      log += "end ";
    });
    co_await yield();
    const auto ready = spawn(take_steps, std::ref(log), "ready", 3);
    co_await target.kill();
    log += "killer ";
    co_await ready.join();
  };
  run_on(engine, main());
  // gevent throws in a callback of its own, which is queued in the same place.
  CHECK(log == "ready1 cleanup ready2 end ready3 killer ");
}

TEST_CASE("killall throws in list order, and each clean-up runs until it waits") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto body = [&](std::string name) -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        log += name + "1 ";
      }
      co_await yield();
      log += name + "2 ";
    };
    const auto a = spawn(body, "a");
    const auto b = spawn(body, "b");
    const auto c = spawn(body, "c");
    co_await yield();
    const std::vector<fiber<>> list = {c, a, b};
    co_await killall(list);
    log += "killer ";
  };
  run_on(engine, main());
  CHECK(log == "c1 a1 b1 c2 a2 b2 killer ");
}

TEST_CASE("the order of kills is the order of the ends, whichever fiber began to wait first") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto body = [&](const char* word) -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        log += word;
        throw;
      }
    };
    const auto a = spawn(body, "a ");
    const auto b = spawn(body, "b ");
    co_await yield();
    b.request_kill();
    a.request_kill();
    log += "main ";
    co_await joinall(a, b);
  };
  run_on(engine, main());
  CHECK(log == "main b a ");
}

// row: GL-08
TEST_CASE("the first of a wake-up and a kill takes effect") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await sleep(1ms);
      log += "end ";
    });
    fiber<> joining;
    const auto kill = [&] { joining.request_kill(); };
    const auto body = [&]() -> task<> {
      co_await target.join();
      log += "joined ";
      co_await yield();
      log += "not here ";
    };
    SUBCASE("the kill") {
      target.on_done(kill);
      joining = spawn(body);
      co_await joining.join();
      CHECK(log == "end ");
    }
    SUBCASE("the wake-up, and the kill is thrown at the next wait") {
      joining = spawn(body);
      co_await yield();
      target.on_done(kill);
      co_await joining.join();
      CHECK(log == "end joined ");
    }
    CHECK(joining.result() == outcome::cancelled);
  };
  run_on(engine, main());
}

// Timers

TEST_CASE("timers that are due together fire by deadline, then in the order of arming") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    spawn(sleep_and_note, std::ref(log), 3ms, "3 ");
    spawn(sleep_and_note, std::ref(log), 1ms, "1 ");
    spawn(sleep_and_note, std::ref(log), 2ms, "2a ");
    spawn(sleep_and_note, std::ref(log), 2ms, "2b ");
    co_await yield();
    engine.advance(10'000'000);  // all of them are due when the scheduler looks
    co_await sleep(20ms);
  };
  run_on(engine, main());
  CHECK(log == "1 2a 2b 3 ");
}

// row: HB-03
TEST_CASE("sleep lasts at least its time from now on, not from the start of the turn") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    engine.advance(5'000'000);  // computes
    const steady_ns begin = engine.now();
    co_await sleep(2ms);
    CHECK(engine.now() == begin + 2'000'000);
  };
  run_on(engine, main());
}

TEST_CASE("the waiters of completions run before those of timers in one turn") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    spawn(sleep_and_note, std::ref(log), 2ms, "timer ");
    const auto reader = spawn(read_and_note, std::ref(log), 8, "io ");
    engine.on_idle = [&] {
      if (engine.is_waiting(opcode::read, 8)) {
        engine.advance(2'000'000);
        engine.complete(engine.oldest(opcode::read, 8), 0);
      }
      return false;
    };
    co_await sleep(2ms);
    log += "main ";
  };
  run_on(engine, main());
  CHECK(log == "io main timer ");
}

// row: TM-01
TEST_CASE("input that is ready wins over a limit that passes in the same turn") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto by_own_limit = spawn([&]() -> task<> {
      const std::int32_t got = co_await probe(7, 2ms);
      log += "own " + std::to_string(got) + " ";
    });
    const auto by_outer_limit = spawn([&]() -> task<> {
      const std::int32_t got = co_await with_timeout(2ms, probe(8));
      log += "outer " + std::to_string(got) + " ";
    });
    engine.on_idle = [&] {
      if (engine.is_waiting(opcode::read, 8)) {
        engine.advance(2'000'000);
        engine.complete(engine.oldest(opcode::read, 8), 5);
        engine.complete(engine.oldest(opcode::read, 7), 6);
      }
      return false;
    };
    co_await joinall(by_own_limit, by_outer_limit);
  };
  run_on(engine, main());
  CHECK(log == "outer 5 own 6 ");
}

// row: W11
TEST_CASE("yield goes through the run queue only, and sleep(0) waits for the next turn") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto a = spawn(take_steps, std::ref(log), "a", 3);
    const auto zero = spawn(sleep_and_note, std::ref(log), 0ms, "zero ");
    co_await joinall(a, zero);
  };
  run_on(engine, main());
  CHECK(log == "a1 a2 a3 zero ");  // gevent's sleep(0) is ringlet's yield
}

// rows: W11 HB-02
TEST_CASE("fibers that only yield delay timers and input by one turn (stricter)") {
  scripted_engine engine;
  int yields = 0;
  int at_timer = 0;
  int at_input = 0;
  bool stop = false;
  const auto main = [&]() -> task<> {
    const auto busy = [&]() -> task<> {
      while (!stop) {
        ++yields;
        co_await yield();
      }
    };
    const auto timer_entry = spawn([&]() -> task<> {
      co_await sleep(1ms);
      at_timer = yields;
    });
    const auto input = spawn([&]() -> task<> {
      co_await probe(7);
      at_input = yields;
    });
    co_await yield();
    const auto one = spawn(busy);
    const auto two = spawn(busy);
    engine.advance(1'000'000);
    engine.complete(engine.oldest(opcode::read, 7), 1);
    co_await joinall(timer_entry, input);
    stop = true;
    co_await joinall(one, two);
  };
  run_on(engine, main());
  // One turn resumes at most 256 fibers.
  CHECK(at_input > 0);
  CHECK(at_input <= 256);
  CHECK(at_timer > 0);
  CHECK(at_timer <= 2 * 256);
}

// row: HB-19
TEST_CASE("a fiber whose waits are always ready lets other fibers run (stricter)") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto ended = spawn(note, std::ref(log), "");
    co_await ended.join();
    int joins = 0;
    const auto other = spawn([&]() -> task<> {
      log += joins > 0 && joins <= 128 ? "in time" : "too late";
      co_return;
    });
    while (log.empty() && joins < 1000) {
      co_await ended.join();
      ++joins;
    }
    co_await other.join();
  };
  run_on(engine, main());
  CHECK(log == "in time");
}

// Input and output, other threads

TEST_CASE("waiters of completions run in completion order, behind the ready fibers") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto a = spawn(read_and_note, std::ref(log), 7, "7 ");
    const auto b = spawn(read_and_note, std::ref(log), 8, "8 ");
    const auto c = spawn(read_and_note, std::ref(log), 9, "9 ");
    co_await yield();
    engine.complete(engine.oldest(opcode::read, 9), 0);
    engine.complete(engine.oldest(opcode::read, 7), 0);
    engine.complete(engine.oldest(opcode::read, 8), 0);
    log += "main ";
    const auto ready = spawn(take_steps, std::ref(log), "ready", 2);
    co_await joinall(a, b, c, ready);
  };
  run_on(engine, main());
  CHECK(log == "main ready1 ready2 9 7 8 ");
}

// row: HB-12
TEST_CASE("posted work runs in order, once a turn, after completions") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const scheduler_handle here;
    const auto reader = spawn(read_and_note, std::ref(log), 7, "io ");
    co_await yield();
    engine.complete(engine.oldest(opcode::read, 7), 0);
    for (const char* word : {"post1 ", "post2 "}) {
      static_cast<void>(here.post([&log, word] {
        log += word;
        spawn(note, std::ref(log), "spawned ");
      }));
    }
    const auto ready = spawn(take_steps, std::ref(log), "ready", 2);
    co_await joinall(reader, ready);
    co_await sleep(0s);
  };
  run_on(engine, main());
  CHECK(log == "ready1 ready2 post1 post2 io spawned spawned ");
}

// A woken fiber

TEST_CASE("a woken fiber runs in queue order, never next and never inside the call") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto sleeper = spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        log += "woken ";
      }
    });
    co_await yield();
    const auto a = spawn(take_steps, std::ref(log), "a", 2);
    const auto waker = spawn([&]() -> task<> {
      log += "wakes ";
      sleeper.request_kill();
      log += "goes-on ";
      co_await yield();
      log += "waker ";
    });
    const auto b = spawn(take_steps, std::ref(log), "b", 2);
    co_await joinall(sleeper, a, waker, b);
  };
  run_on(engine, main());
  CHECK(log == "a1 wakes goes-on b1 a2 woken waker b2 ");
}

// The end of the run

// rows: HB-01 HB-13
TEST_CASE("the other fibers end in spawn order when main ends") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto body = [&](const char* word, std::chrono::milliseconds time) -> task<> {
      try {
        co_await sleep(time);
      } catch (const cancelled&) {
        log += word;
        throw;
      }
    };
    spawn(body, "a ", 5ms);
    spawn(body, "b ", 1ms);
    co_await yield();
    spawn(body, "not here ", 1ms);
    spawn(body, "not here ", 1ms);
    log += "main ";
  };
  run_on(engine, main());
  CHECK(log == "main a b ");
}

TEST_SUITE_END();
