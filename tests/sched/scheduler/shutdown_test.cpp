// The end of a run: what a kill of the main task, a signal and a deadlock do to the other fibers,
// in which order, and by when. shutdown_requested() and shutting_down().
//
// Method: on the scripted engine a test sets the signal that the scheduler watches. Child processes
// test run_main.
// SPDX-License-Identifier: MIT
#include <ringlet/event.hpp>
#include <ringlet/greenlet.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/shutdown.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>

#include <doctest/doctest.h>

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/child.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

std::atomic<int> pending_signal = 0;

// run_main() without signals: the test raises them through pending_signal. Returns the exit code.
int run_with_signals(scripted_engine& engine, task<> main, options settings = {}) {
  pending_signal = 0;
  try {
    detail::run_on(engine, std::move(main), std::move(settings), std::source_location::current(),
                   [](extend::scheduler& scheduler) {
                     scheduler.signal().watch(pending_signal);
                     scheduler.set_stuck_handler([] { ::_exit(70); });
                   });
  } catch (const std::system_error& error) {
    return error.code() == errc::fiber_cancelled ? 128 + pending_signal : 1;
  }
  return 0;
}

template <class Main>
child_end program(const Main& main, const options& settings = {}) {
  return run_in_child([&] {
    const int code = run_main(main(), settings);
    std::fflush(stderr);
    ::_exit(code);
  });
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_SUITE_BEGIN("shutdown");

// The order

TEST_CASE("a signal ends the fibers that use a queue of the main task before the main task") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    queue<int> jobs;
    const auto work = [&log](queue<int>& from, char name) -> task<> {
      try {
        for (;;) co_await from.pop();
      } catch (const cancelled&) {
        log += name;
        throw;
      }
    };
    spawn(work, std::ref(jobs), 'a');
    spawn(work, std::ref(jobs), 'b');
    co_await sleep(1ms);
    pending_signal = SIGINT;
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
      log += 'm';
      throw;
    }
  };
  CHECK(run_with_signals(engine, main()) == 130);
  CHECK(log == "abm");
}

TEST_CASE("main tasks that join, or catch their interruption, are held as well") {
  scripted_engine engine;
  bool caught = false;
  int code = -1;
  const auto work = [](bool& ended) -> task<> {
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
    }
    co_await shield(1s, sleep_for(3ms));
    ended = true;
  };
  bool ended = false;
  const auto main = [&]() -> task<> {
    const fiber<> worker = spawn(work, std::ref(ended));
    spawn([]() -> task<> {
      pending_signal = SIGTERM;
      co_return;
    });
    try {
      co_await worker.join();
    } catch (const cancelled&) {
      caught = true;
    }
    CHECK(ended);
  };
  SUBCASE("and a main task that returns has its own code") {
    code = run_with_signals(engine, main());
  }
  CHECK(caught);
  CHECK(code == 0);
}

TEST_CASE("fibers spawned after the signal are refused: they never run, and are not counted") {
  scripted_engine engine;
  bool ran = false;
  const auto main = [&]() -> task<> {
    spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        const fiber<> late = spawn([&]() -> task<> {
          ran = true;
          co_return;
        });
        CHECK(late.done());
        CHECK(late.result() == outcome::cancelled);
        CHECK(shutting_down());
        throw;
      }
    });
    CHECK_FALSE(shutting_down());
    co_await yield();
    pending_signal = SIGINT;
    co_await sleep(1h);
  };
  CHECK(run_with_signals(engine, main()) == 130);
  CHECK_FALSE(ran);
}

TEST_CASE("a fiber that kills the main task ends before it, and so do all other fibers") {
  scripted_engine engine;
  std::string log;
  fiber<> other;
  const auto main = [&]() -> task<> {
    fiber_base& self = current();
    other = spawn(sleep_for, 1h);
    spawn([&]() -> task<> {
      self.kill();
      log += "killed ";
      try {
        co_await yield();
      } catch (const cancelled&) {
        log += "self ";
        throw;
      }
    });
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
      CHECK(other.done());
      log += "main ";
      throw;
    }
  };
  CHECK(run_with_signals(engine, main()) == 128);
  CHECK(log == "killed self main ");
}

TEST_CASE("a callback that spawns its fiber again does not keep run from ending") {
  scripted_engine engine;
  int spawned = 0;
  std::function<void()> respawn = [&] {
    ++spawned;
    spawn(sleep_for, 1h).on_done([&] { respawn(); });
  };
  const auto main = [&]() -> task<> {
    respawn();
    co_await sleep(1ms);
  };
  run_on(engine, main());
  CHECK(spawned <= 3);
}

// The clock

TEST_CASE("the main task is resumed at half of the shutdown timeout although a fiber is alive") {
  scripted_engine engine;
  steady_ns resumed = 0;
  const steady_ns begin = engine.now();
  const auto main = [&]() -> task<> {
    spawn([]() -> task<> { co_await shield(1h, sleep_for(7s)); });
    co_await yield();
    pending_signal = SIGINT;
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
      resumed = engine.now();
      throw;
    }
  };
  CHECK(run_with_signals(engine, main(), {.shutdown_timeout = 10s}) == 130);
  CHECK(resumed == begin + 5'000'000'000);
  CHECK(engine.now() == begin + 7'000'000'000);
}

TEST_CASE("a main task in a shield at half of the shutdown timeout does not keep the run busy") {
  scripted_engine engine;
  const steady_ns begin = engine.now();
  const auto main = []() -> task<> {
    pending_signal = SIGINT;
    co_await shield(1h, sleep_for(7s));
    co_await sleep(1h);
  };
  CHECK(run_with_signals(engine, main(), {.shutdown_timeout = 10s}) == 130);
  CHECK(engine.now() == begin + 7'000'000'000);
  CHECK(engine.waits() < 20);
}

TEST_CASE("a starter whose suspended greenlet has an open group is held until the group is empty") {
  scripted_engine engine;
  steady_ns resumed = 0;
  const steady_ns begin = engine.now();
  const auto main = [&]() -> task<> {
    greenlet<> inner([&]() -> task<> {
      co_await in_group([&](task_group& group) -> task<> {
        group.spawn([]() -> task<> { co_await shield(1h, sleep_for(7s)); });
        co_await greenlet<>::current().parent().switch_to();
      });
    });
    co_await inner.switch_to();
    co_await yield();
    pending_signal = SIGINT;
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
      resumed = engine.now();
      throw;
    }
  };
  CHECK(run_with_signals(engine, main(), {.shutdown_timeout = 10s}) == 130);
  CHECK(resumed == begin + 7'000'000'000);
}

TEST_CASE("one shutdown timeout covers a tree of starters") {
  scripted_engine engine;
  std::vector<steady_ns> resumed;
  const steady_ns begin = engine.now();
  std::function<task<>(int)> grow = [&](int depth) -> task<> {
    if (depth == 0) {
      co_await shield(1h, sleep_for(9s));
      co_return;
    }
    co_await in_group([&](task_group& group) -> task<> {
      group.spawn([&grow, depth]() -> task<> { co_await grow(depth - 1); });
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        resumed.push_back(engine.now() - begin);
        throw;
      }
    });
  };
  const auto main = [&]() -> task<> {
    const fiber<> tree = spawn(std::ref(grow), 3);
    co_await sleep(1s);
    pending_signal = SIGINT;
    co_await tree.join();
  };
  CHECK(run_with_signals(engine, main(), {.shutdown_timeout = 10s}) == 130);
  CHECK(resumed == std::vector<steady_ns>(3, 6'000'000'000));
}

TEST_CASE(
    "fibers are listed after the shutdown timeout, and the code is 70 after twice that time") {
  const child_end end = run_in_child([] {
    scripted_engine engine;
    engine.hold_cancellations(true);
    const auto main = [&]() -> task<> {
      spawn([]() -> task<> { co_await probe(); }).set_name("deaf");
      co_await yield();
      pending_signal = SIGINT;
      co_await sleep(1h);
    };
    ::_exit(run_with_signals(engine, main(), {.shutdown_timeout = 10s}));
  });
  CHECK(end.status == 70);
  CHECK(contains(end.errors, "did not end within 10.0 s after the signal"));
  CHECK(contains(end.errors, "did not end within 20.0 s after the signal"));
  CHECK(contains(end.errors, "fiber 2 \"deaf\""));
}

TEST_CASE("the list after a signal counts from the signal, also if the main task has not ended") {
  const child_end end = run_in_child([] {
    scripted_engine engine;
    engine.hold_cancellations(true);
    const auto main = []() -> task<> {
      pending_signal = SIGINT;
      co_await yield();
      co_await probe();
    };
    ::_exit(run_with_signals(engine, main(), {.shutdown_timeout = 10s}));
  });
  CHECK(end.status == 70);
  CHECK(contains(end.errors, "did not end within 10.0 s after the signal"));
  CHECK(contains(end.errors, "did not end within 20.0 s after the signal"));
  CHECK(contains(end.errors, "scripted, 1 fiber\nfiber 1"));
}

TEST_CASE("the shutdown timeout counts from the main task's end, however long it has computed") {
  scripted_engine engine;
  const child_end end = run_in_child([] {
    scripted_engine slow;
    const auto main = [&]() -> task<> {
      spawn([]() -> task<> {
        try {
          co_await sleep(1h);
        } catch (const cancelled&) {
        }
        co_await shield(1h, sleep_for(50ms));
      });
      co_await yield();
      slow.advance(1'000'000'000);
    };
    run_on(slow, main(), {.shutdown_timeout = 300ms});
  });
  CHECK(end.status == 0);
  CHECK(end.errors == "");
}

// shutdown_requested

TEST_CASE("a requested signal cancels no fiber and completes the request") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const fiber<int> worker = spawn([]() -> task<int> {
      co_await sleep(5ms);
      co_return 3;
    });
    const fiber<bool> also = spawn([]() -> task<bool> { co_return co_await shutdown_requested(); });
    spawn([]() -> task<> {
      co_await sleep(1ms);
      pending_signal = SIGTERM;
    });
    CHECK_FALSE(co_await shutdown_requested(0s));
    CHECK(co_await shutdown_requested());
    CHECK(shutting_down());
    CHECK(co_await shutdown_requested());  // and so do later calls
    CHECK(co_await also.get());
    CHECK(co_await worker.get() == 3);
  };
  CHECK(run_with_signals(engine, main()) == 0);
}

TEST_CASE("a request that is no longer awaited still cancels no fiber") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    static_cast<void>(shutdown_requested());
    pending_signal = SIGINT;
    co_await sleep(1ms);
    CHECK(shutting_down());
  };
  CHECK(run_with_signals(engine, main()) == 0);
}

TEST_CASE("the run is shutting down after a signal that finds the main task in a shield") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto shielded = []() -> task<> {
      CHECK_FALSE(shutting_down());
      pending_signal = SIGTERM;
      co_await sleep(1ms);
      CHECK(shutting_down());
    };
    co_await shield(1h, shielded());
    co_await sleep(1h);
  };
  CHECK(run_with_signals(engine, main()) == 128 + SIGTERM);
}

TEST_CASE("a request may be a case of select(), and is an external wait that prevents a deadlock") {
  scripted_engine engine;
  int idle = 0;
  engine.on_idle = [&] {
    if (++idle == 3) pending_signal = SIGINT;
    return true;
  };
  const auto main = [&]() -> task<> {
    event door;
    const auto which = co_await select(door.wait(), shutdown_requested());
    CHECK(which.index() == 1);
  };
  CHECK(run_with_signals(engine, main()) == 0);
}

TEST_CASE("a wait for a request alone is a deadlock without signals") {
  CHECK(contains(deadlock_of([](scripted_engine&) -> task<> { co_await shutdown_requested(); }),
                 "shutdown request"));
}

TEST_CASE("the signal acts as if it had not been requested after the shutdown timeout") {
  scripted_engine engine;
  steady_ns killed = 0;
  const steady_ns begin = engine.now();
  fiber<> worker;
  const auto main = [&]() -> task<> {
    worker = spawn(sleep_for, 1h);
    pending_signal = SIGINT;
    co_await shutdown_requested();
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
      killed = engine.now();
      CHECK(worker.done());
      throw;
    }
  };
  CHECK(run_with_signals(engine, main(), {.shutdown_timeout = 10s}) == 130);
  CHECK(killed == begin + 10'000'000'000);
}

TEST_CASE("the list counts from a signal that was requested, unless the main task ended in time") {
  const auto errors_if = [](bool ends_in_time) {
    return run_in_child([&] {
             scripted_engine engine;
             engine.hold_cancellations(true);
             const auto main = [&]() -> task<> {
               spawn([]() -> task<> { co_await probe(); });
               co_await yield();
               pending_signal = SIGINT;
               co_await shutdown_requested();
               if (!ends_in_time) co_await sleep(1h);
             };
             ::_exit(run_with_signals(engine, main(), {.shutdown_timeout = 10s}));
           })
        .errors;
  };
  const std::string late = errors_if(false);
  CHECK(contains(late, "the main task did not end within 10.0 s after the signal, and is killed"));
  CHECK(contains(late, "did not end within 20.0 s after the signal"));
  CHECK(contains(late, "did not end within 30.0 s after the signal"));
  const std::string in_time = errors_if(true);
  CHECK(!contains(in_time, "the main task did not end"));
  CHECK(contains(in_time, "did not end within 10.0 s after the main task had ended"));
  CHECK(contains(in_time, "did not end within 20.0 s after the main task had ended"));
}

// In a program

TEST_CASE("a kill of the main task does not cancel the deadline of a request") {
  scripted_engine engine;
  const steady_ns start = engine.now();
  steady_ns killed_at = 0, resumed_at = 0;
  const auto main = [&]() -> task<> {
    static_cast<void>(shutdown_requested());
    pending_signal = SIGTERM;
    co_await yield();
    co_await sleep(400ms);
    current().kill();
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
      killed_at = engine.now() - start;
    }
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
      resumed_at = engine.now() - start;
      throw;
    }
  };
  options settings;
  settings.shutdown_timeout = 1s;
  CHECK(run_with_signals(engine, main(), settings) == 128 + SIGTERM);
  CHECK(killed_at == std::chrono::nanoseconds(400ms).count());
  CHECK(resumed_at == std::chrono::nanoseconds(1s).count());
}

TEST_CASE("a drained stop exits with the main task's own code under run_main") {
  const auto main = []() -> task<int> {
    spawn([]() -> task<> {
      ::raise(SIGINT);
      co_return;
    });
    co_await shutdown_requested();
    co_return 3;
  };
  const child_end end = program(main);
  CHECK(end.status == 3);
  CHECK(end.errors == "");
}

TEST_CASE("a second signal ends the program at once, even during a requested shutdown") {
  const auto main = []() -> task<> {
    static_cast<void>(shutdown_requested());
    ::raise(SIGINT);
    co_await shutdown_requested();
    ::raise(SIGTERM);
    co_await sleep(1h);
  };
  CHECK(program(main).status == 143);
}

TEST_CASE("a first signal that has to wait for a shield is reported") {
  const auto main = []() -> task<> {
    const auto shielded = []() -> task<> {
      ::raise(SIGTERM);
      co_await sleep(1ms);
    };
    co_await shield(1h, shielded());
    co_await sleep(1h);
  };
  const child_end end = program(main);
  CHECK(end.status == 143);
  CHECK(contains(end.errors, "SIGTERM: the main task is in a shield"));
  CHECK(contains(end.errors, "a second signal ends the program at once"));
}

TEST_SUITE_END();
