// run: what it returns and throws, how it ends, and that nothing is left afterwards.
// run_main_test.cpp tests run_main.
//
// Method: the scripted engine wherever time matters. Cases that must abort do so in a child.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <signal.h>

#include <array>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<int> answer() { co_return 42; }

struct noted_end {
  std::string& log;
  const char* word;
  ~noted_end() { log += word; }
};

// Refuses to end: catches every cancellation, as long as it is told to.
task<> swallow_for_ever() {
  for (;;) {
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
    }
  }
}

// Ends with the result of an operation that the engine does not answer before the shutdown timeout
// is over.
task<> wait_for_slow_kernel() { co_await probe(); }

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_SUITE_BEGIN("run");

// Results and errors

TEST_CASE("run returns the task's value, whatever its type") {
  static int shared = 0;
  struct maker {
    static task<> nothing() { co_return; }
    static task<std::unique_ptr<int>> owner() { co_return std::make_unique<int>(7); }
    static task<int&> reference() { co_return shared; }
    static task<std::string> text() { co_return std::string(100, 'x'); }
  };
  CHECK(run(answer()) == 42);
  run(maker::nothing());
  CHECK(*run(maker::owner()) == 7);
  CHECK(&run(maker::reference()) == &shared);
  CHECK(run(maker::text()) == std::string(100, 'x'));
}

TEST_CASE("run rethrows the task's exception") {
  const auto main = []() -> task<int> {
    co_await yield();
    throw std::runtime_error("from inside");
    co_return 0;
  };
  CHECK_THROWS_WITH(run(main()), "from inside");
}

TEST_CASE("a killed main task has no value: run throws errc::fiber_cancelled") {
  scripted_engine engine;
  const auto main = []() -> task<int> {
    current().kill();
    co_await yield();
    co_return 1;
  };
  try {
    run_on(engine, main());
    FAIL("it must throw");
  } catch (const std::system_error& error) {
    CHECK(error.code() == errc::fiber_cancelled);
    CHECK(std::string_view(error.what()).starts_with("the main task was killed"));
  }
}

TEST_CASE("run destroys its task, including the arguments, before it returns") {
  const auto life = std::make_shared<int>();
  const auto hold = [](std::shared_ptr<int>) -> task<> { co_return; };
  run(hold(life));
  CHECK(life.use_count() == 1);
}

// Repeated and parallel runs

TEST_CASE("run can be called again, after success and after failure") {
  const auto fail = []() -> task<int> {
    throw std::runtime_error("once");
    co_return 0;
  };
  for (int i = 0; i < 10; ++i) {
    CHECK(run(answer()) == 42);
    CHECK_THROWS(run(fail()));
  }
}

TEST_CASE("several threads run a scheduler each, at the same time") {
  std::array<int, 3> results{};
  std::vector<std::thread> threads;
  for (int& result : results) {
    threads.emplace_back([&result] {
      const auto main = []() -> task<int> {
        int sum = 0;
        for (int i = 0; i < 200; ++i) {
          const auto child = spawn(answer);
          sum += co_await child.get();
          co_await sleep(1us);
        }
        co_return sum;
      };
      result = run(main());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int result : results) CHECK(result == 8400);
}

TEST_CASE("run inside run aborts") {
  CHECK(aborts_with("run() was called inside run()", [] {
    const auto main = []() -> task<> {
      run(answer());
      co_return;
    };
    run(main());
  }));
}

TEST_CASE("run does not touch signals") {
  const std::array signals = {SIGINT, SIGTERM, SIGPIPE, SIGHUP, SIGCHLD};
  const auto dispositions = [&] {
    std::vector<void (*)(int)> handlers;
    for (const int number : signals) {
      struct sigaction action = {};
      ::sigaction(number, nullptr, &action);
      handlers.push_back(action.sa_handler);
    }
    return handlers;
  };
  const auto before = dispositions();
  const auto main = [&]() -> task<> {
    CHECK(dispositions() == before);
    co_return;
  };
  run(main());
  CHECK(dispositions() == before);
}

// The end

TEST_CASE("other fibers are cancelled at their waits when the main task ends, and clean up") {
  scripted_engine engine;
  std::string log;
  const auto other = [&](std::function<task<>()> wait) -> task<> {
    const noted_end end{log, "cleaned up, "};
    co_await wait();
    log += "not here";
  };
  const auto main = [&]() -> task<> {
    const auto target = spawn([]() -> task<> { co_await sleep(1h); });
    spawn(other, []() -> task<> { co_await sleep(1h); });
    spawn(other, [=]() -> task<> { co_await target.join(); });
    spawn(other, []() -> task<> { co_await probe(); });
    spawn(other, []() -> task<> { co_await with_timeout(2h, sleep(1h)); });
    const noted_end end{log, "main ends, "};
    co_await sleep(1ms);
  };
  const steady_ns begin = engine.now();
  run_on(engine, main());
  CHECK(log == "main ends, cleaned up, cleaned up, cleaned up, cleaned up, ");
  CHECK(engine.now() == begin + 1'000'000);
}

TEST_CASE("every further wait throws while the run ends") {
  scripted_engine engine;
  int caught = 0;
  const auto main = [&]() -> task<> {
    spawn([&]() -> task<> {
      for (int i = 0; i < 1000; ++i) {
        try {
          co_await sleep(1h);
        } catch (const cancelled&) {
          ++caught;
        }
      }
    });
    co_await yield();
  };
  run_on(engine, main());
  CHECK(caught == 1000);
}

TEST_CASE("fibers spawned while the run ends never begin, and their arguments are destroyed") {
  scripted_engine engine;
  const auto life = std::make_shared<int>();
  bool began = false;
  const auto body = [&](std::shared_ptr<int>) -> task<> {
    began = true;
    co_return;
  };
  const auto main = [&]() -> task<> {
    spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        spawn(body, life);
        throw;
      }
    });
    co_await yield();
    spawn(body, life);
  };
  run_on(engine, main());
  CHECK_FALSE(began);
  CHECK(life.use_count() == 1);
}

TEST_CASE("an error of the main task ends other fibers in the same way, and is thrown afterwards") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    spawn([&]() -> task<> {
      const noted_end end{log, "cleaned up"};
      co_await sleep(1h);
    });
    co_await yield();
    throw std::runtime_error("first");
  };
  CHECK_THROWS_WITH(run_on(engine, main()), "first");
  CHECK(log == "cleaned up");
}

TEST_CASE("clean-up code may use every call that does not wait") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([]() -> task<> { co_await sleep(1h); });
    spawn([&, target]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        target.request_kill();
        CHECK(current().id() == 3);
        log += contains(dump(), "fiber 3: running") ? "listed" : "not listed";
      }
    });
    co_await yield();
  };
  run_on(engine, main());
  CHECK(log == "listed");
}

// Fibers that refuse to end

TEST_CASE(
    "a fiber that outlives the shutdown timeout is listed, and may still end in the second one") {
  const child_end end = run_in_child([] {
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      engine.hold_cancellations(true);
      spawn(wait_for_slow_kernel).set_name("slow");
      co_await yield();
    };
    const steady_ns begin = engine.now();
    bool holds = true;
    engine.on_idle = [&] {
      if (!holds || engine.now() < begin + 2'000'000'000) return false;
      holds = false;
      engine.hold_cancellations(false);  // after the first shutdown timeout
      return true;
    };
    options settings;
    settings.shutdown_timeout = 2s;
    run_on(engine, main(), settings);
    RINGLET_ASSERT(engine.now() == begin + 2'000'000'000,
                   "the shutdown timeout is as long as it says");
  });
  CHECK(end.status == 0);
  CHECK(contains(end.errors, "did not end within 2.0 s after the main task had ended"));
  CHECK(contains(end.errors, "fiber 2 \"slow\": probe fd 7"));
  CHECK_FALSE(contains(end.errors, "within 4.0 s"));
}

TEST_CASE("the shutdown timeout begins when the main task ends, however long it has computed") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
      }
      co_await shield(1s, []() -> task<> { co_await sleep(50ms); }());
      log += "cleaned up";
    });
    co_await yield();
    engine.advance(400'000'000);
  };
  options settings;
  settings.shutdown_timeout = 300ms;
  run_on(engine, main(), settings);
  CHECK(log == "cleaned up");
}

TEST_CASE("run aborts after a second shutdown timeout: it never returns with a live fiber") {
  CHECK(aborts_with("did not end within 4.0 s after the main task had ended", [] {
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      engine.hold_cancellations(true);
      spawn(wait_for_slow_kernel);
      co_await yield();
    };
    options settings;
    settings.shutdown_timeout = 2s;
    run_on(engine, main(), settings);
  }));
}

TEST_CASE("a fiber that swallows every cancellation cannot keep run from ending") {
  // Takes 4 ms of real time.
  CHECK(aborts_with("fiber 2 \"stubborn\": ", [] {
    const auto main = []() -> task<> {
      spawn(swallow_for_ever).set_name("stubborn");
      co_await yield();
    };
    run(main(), {.shutdown_timeout = 2ms});
  }));
}

TEST_CASE("a shutdown timeout of any size is accepted") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    spawn([]() -> task<> { co_await sleep(1h); });
    co_await yield();
  };
  options settings;
  settings.shutdown_timeout = std::chrono::nanoseconds::max();
  run_on(engine, main(), settings);
}

TEST_SUITE_END();
