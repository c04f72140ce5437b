// shield: what it holds back, for how long, and what happens to it afterwards.
//
// Method: a fiber notes the outcome of its waits, and when they end, in milliseconds of the
// scripted engine's clock; the main fiber kills it, or limits around it pass. Fibers that are
// killed have no co_await inside a CHECK, which would swallow the exception.
// SPDX-License-Identifier: MIT
#include <ringlet/deadlock.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

std::exception_ptr error_of(const char* sentence) {
  return std::make_exception_ptr(std::runtime_error(sentence));
}

// Notes the outcome of calls, and when they end, in one string.
class notes {
 public:
  explicit notes(scripted_engine& engine) : engine_(&engine) {}

  void add(std::string_view word) {
    const steady_ns since = engine_->now() - scripted_engine::start_time;
    text_ += std::string(word) + "@" + std::to_string(since / 1'000'000) + " ";
  }

  // Notes `name` and the outcome of that call, which it swallows.
  task<> end_of(std::string name, task<> call) {
    try {
      co_await call;
    } catch (const cancelled&) {
      name += " cancelled";
    } catch (const std::exception& error) {
      name += std::string(" ") + error.what();
    }
    add(name);
  }

  // Sleeps that long and notes the outcome, which it swallows.
  task<> sleep_for(std::string name, std::chrono::milliseconds time) {
    return end_of(std::move(name), plain_sleep(time));
  }

  static task<> plain_sleep(std::chrono::milliseconds time) { co_await sleep(time); }

  const std::string& text() const noexcept { return text_; }

 private:
  scripted_engine* engine_;
  std::string text_;
};

task<std::unique_ptr<int>> make_number() {
  co_await yield();
  co_return std::make_unique<int>(7);
}

}  // namespace

TEST_SUITE_BEGIN("shield");

TEST_CASE("a shield returns the call's value, and passes its errors through") {
  scripted_engine engine;
  int target = 0;
  const auto fail = []() -> task<int> {
    co_await yield();
    throw std::runtime_error("its own");
  };
  const auto refer = [&target]() -> task<int&> { co_return target; };
  const auto main = [&]() -> task<> {
    const std::unique_ptr<int> number = co_await shield(1s, make_number());
    CHECK(*number == 7);
    CHECK_THROWS_WITH(co_await shield(1s, fail()), "its own");
    CHECK(&co_await shield(forever, refer()) == &target);
    co_await shield(1s, notes::plain_sleep(1ms));
    CHECK(engine.now() == scripted_engine::start_time + 1'000'000);
  };
  run_on(engine, main());
}

TEST_CASE("a shield may be put around a single wait, which a kill then does not end") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    const auto number = spawn([]() -> task<int> { co_return 7; });
    const auto target = spawn([&]() -> task<> {
      co_await shield(1s, sleep(5ms));
      log.add(std::to_string(co_await shield(1s, number.get())));
      co_await log.sleep_for("behind", 5ms);
    });
    co_await sleep(2ms);
    co_await target.kill();
  };
  run_on(engine, main());
  CHECK(log.text() == "7@5 behind cancelled@5 ");
}

// Kills

// row: GL-08
TEST_CASE("a kill is held back, and ends the first wait after the shield") {
  scripted_engine engine;
  notes log(engine);
  const auto guarded = [&]() -> task<> {
    co_await log.sleep_for("inside", 5ms);
    co_await log.sleep_for("inside", 5ms);
  };
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await shield(1s, guarded());
      co_await log.sleep_for("behind", 5ms);
      co_await log.sleep_for("behind", 5ms);
    });
    co_await sleep(2ms);
    CHECK_FALSE(co_await target.kill(2ms));
    co_await target.join();
    CHECK(target.result() == outcome::value);
  };
  run_on(engine, main());
  CHECK(log.text() == "inside@5 inside@10 behind cancelled@10 behind@15 ");
}

TEST_CASE("a kill that was pending when the shield began is held back, too") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      current().kill();
      co_await shield(1s, log.sleep_for("inside", 5ms));
      co_await log.sleep_for("behind", 5ms);
    });
    co_await target.join();
  };
  run_on(engine, main());
  CHECK(log.text() == "inside@5 behind cancelled@5 ");
}

TEST_CASE("a shield whose call has ended holds nothing back") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await shield(1s, log.sleep_for("inside", 1ms));
      co_await log.sleep_for("behind", 1h);
    });
    co_await sleep(2ms);
    CHECK(co_await target.kill());
  };
  run_on(engine, main());
  CHECK(log.text() == "inside@1 behind cancelled@2 ");
}

TEST_CASE("success wins: a fiber that needs no wait after the shield is not killed") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<int> {
      const std::unique_ptr<int> number = co_await shield(1s, make_number());
      co_return *number;
    });
    co_await yield();
    CHECK(co_await target.kill());
    CHECK(target.result() == outcome::value);
    CHECK(target.value() == 7);
  };
  run_on(engine, main());
}

// rows: W4 GL-08
TEST_CASE("several kills are thrown once each after the shield, in order") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await shield(1s, log.sleep_for("inside", 5ms));
      for (int i = 0; i < 5; ++i) co_await log.sleep_for("behind", 1ms);
    });
    co_await yield();
    target.request_kill();
    target.request_kill(error_of("first"));
    co_await sleep(1ms);
    target.request_kill(error_of("second"));
    target.request_kill();
    co_await target.join();
  };
  run_on(engine, main());
  CHECK(log.text() ==
        "inside@5 behind cancelled@5 behind first@5 behind second@5 behind cancelled@5 "
        "behind@6 ");
}

TEST_CASE("an operation inside a shield is not cancelled by an interruption that is held back") {
  scripted_engine engine;
  notes log(engine);
  const auto guarded = [&]() -> task<> {
    const std::int32_t got = co_await probe();
    log.add("got " + std::to_string(got));
  };
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> { co_await shield(1s, guarded()); });
    co_await yield();
    target.request_kill();
    co_await sleep(1ms);
    CHECK(engine.cancelled(opcode::read) == 0);
    engine.complete(engine.oldest(opcode::read), 3);
    co_await target.join();
    CHECK(target.result() == outcome::value);
  };
  run_on(engine, main());
  CHECK(log.text() == "got 3@1 ");
}

TEST_CASE("the cleanup of a killed fiber can be shielded against the next kill") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      bool killed = false;
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        killed = true;
      }
      CHECK(killed);
      co_await shield(1s, log.sleep_for("goodbye", 5ms));
      co_await log.sleep_for("behind", 5ms);
    });
    co_await yield();
    target.request_kill();
    co_await sleep(1ms);
    CHECK(co_await target.kill());
  };
  run_on(engine, main());
  CHECK(log.text() == "goodbye@5 behind cancelled@5 ");
}

// Its own limit

TEST_CASE(
    "an interruption that was held back ends the wait inside when the shield's limit passes") {
  scripted_engine engine;
  notes log(engine);
  const auto guarded = [&]() -> task<> {
    co_await log.sleep_for("inside", 1h);
    co_await log.sleep_for("inside", 1ms);
  };
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await shield(10ms, guarded());
      co_await log.sleep_for("behind", 1ms);
    });
    SUBCASE("a kill") {
      co_await sleep(1ms);
      target.request_kill();
      co_await target.join();
      CHECK(log.text() == "inside cancelled@10 inside@11 behind@12 ");
    }
    SUBCASE("two kills, one after the limit, in order") {
      co_await yield();
      target.request_kill();
      target.request_kill(error_of("given"));
      co_await target.join();
      CHECK(log.text() == "inside cancelled@10 inside given@10 behind@11 ");
    }
    SUBCASE("nothing was held back: later kills act at once") {
      co_await sleep(20ms);
      target.request_kill();
      co_await target.join();
      CHECK(log.text() == "inside cancelled@20 inside@21 behind@22 ");
    }
  };
  run_on(engine, main());
}

TEST_CASE("a shield whose limit has passed holds back for this turn only") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      current().kill();
      co_await shield(0s, log.sleep_for("inside", 1h));
      co_await log.sleep_for("behind", 1ms);
    });
    co_await target.join();
  };
  run_on(engine, main());
  CHECK(log.text() == "inside cancelled@0 behind@1 ");
}

TEST_CASE("a shield without a limit holds as long as its call takes") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await shield(forever, log.sleep_for("inside", 3600s));
      co_await log.sleep_for("behind", 1ms);
    });
    co_await yield();
    co_await target.kill();
  };
  run_on(engine, main());
  CHECK(log.text() == "inside@3600000 behind cancelled@3600000 ");
}

TEST_CASE("the limit counts from the co_await, and may be a point in time") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      auto guarded = shield(10ms, log.sleep_for("inside", 1h));
      co_await sleep(5ms);
      co_await guarded;
      const std::chrono::steady_clock::time_point deadline(std::chrono::nanoseconds(engine.now()) +
                                                           3ms);
      co_await shield(deadline, log.sleep_for("inside", 1h));
    });
    co_await sleep(6ms);
    target.request_kill();
    target.request_kill();
    co_await target.join();
  };
  run_on(engine, main());
  CHECK(log.text() == "inside cancelled@15 inside cancelled@18 ");
}

// Limits around it and inside

// row: TM-03
TEST_CASE("a limit around the shield is held back, and ends the first wait after it") {
  scripted_engine engine;
  notes log(engine);
  const auto call = [&]() -> task<> {
    co_await shield(1s, log.sleep_for("inside", 5ms));
    co_await log.sleep_for("behind", 5ms);
    co_await log.sleep_for("behind", 5ms);
    co_await sleep(5ms);
  };
  const auto main = [&]() -> task<> {
    co_await log.end_of("call", with_timeout(2ms, call()));
    co_await log.sleep_for("outside", 1ms);
  };
  run_on(engine, main());
  CHECK(log.text() ==
        "inside@5 behind cancelled@5 behind cancelled@5 call with_timeout: timed out@5 "
        "outside@6 ");
}

// row: TM-03
TEST_CASE(
    "a limit around the shield that passes without a later wait has no effect: success wins") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    const auto count = [&]() -> task<int> {
      co_await log.sleep_for("inside", 5ms);
      co_return 3;
    };
    CHECK(co_await with_timeout(1ms, shield(1s, count())) == 3);
    const auto looking = [&](deadline_scope& deadline) -> task<> {
      co_await shield(1s, log.sleep_for("inside", 5ms));
      CHECK(deadline.has_passed());
      CHECK_FALSE(deadline.extend(1h));
    };
    co_await with_timeout(1ms, looking);
    co_await log.sleep_for("outside", 1ms);
  };
  run_on(engine, main());
  CHECK(log.text() == "inside@5 inside@10 outside@11 ");
}

// row: TM-03
TEST_CASE(
    "a limit around the shield ends every wait inside once the shield's own limit has passed") {
  scripted_engine engine;
  notes log(engine);
  const auto guarded = [&]() -> task<> {
    co_await log.sleep_for("inside", 1h);
    co_await log.sleep_for("inside", 1h);
    co_await sleep(1h);
  };
  const auto main = [&]() -> task<> {
    co_await log.end_of("call", with_timeout(2ms, shield(5ms, guarded())));
  };
  run_on(engine, main());
  CHECK(log.text() == "inside cancelled@5 inside cancelled@5 call with_timeout: timed out@5 ");
}

// row: TM-03
TEST_CASE("limits inside the shield work as usual, even while an interruption is held back") {
  scripted_engine engine;
  notes log(engine);
  const auto guarded = [&]() -> task<> {
    co_await log.end_of("inner", with_timeout(2ms, notes::plain_sleep(1h)));
    co_await log.sleep_for("inside", 1ms);
    co_await log.end_of("inner", with_timeout(1h, notes::plain_sleep(1ms)));
    co_await log.end_of("inner", with_timeout(5ms, with_timeout(1ms, notes::plain_sleep(1h))));
  };
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await log.end_of("call", with_timeout(1ms, shield(1s, guarded())));
      co_await log.sleep_for("outside", 1ms);
      co_await log.sleep_for("outside", 1ms);
    });
    co_await yield();
    target.request_kill();
    co_await target.join();
  };
  run_on(engine, main());
  CHECK(log.text() ==
        "inner with_timeout: timed out@2 inside@3 inner@4 inner with_timeout: timed out@5 "
        "call@5 outside cancelled@5 outside@6 ");
}

TEST_CASE(
    "kills are thrown before limits after the shield, and the limits still hold for later waits") {
  scripted_engine engine;
  notes log(engine);
  const auto call = [&]() -> task<> {
    co_await shield(1s, log.sleep_for("inside", 5ms));
    co_await log.sleep_for("first", 1h);
    co_await log.sleep_for("second", 1h);
    co_await log.sleep_for("third", 1h);
    co_await sleep(1h);
  };
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await log.end_of("call", with_timeout(2ms, call()));
      co_await log.sleep_for("outside", 1ms);
    });
    co_await sleep(3ms);  // the limit has passed before the kills
    target.request_kill();
    target.request_kill(error_of("given"));
    co_await target.join();
  };
  run_on(engine, main());
  CHECK(log.text() ==
        "inside@5 first cancelled@5 second given@5 third cancelled@5 "
        "call with_timeout: timed out@5 outside@6 ");
}

TEST_CASE("a kill after the shield passes through the expired limit without becoming timed_out") {
  scripted_engine engine;
  notes log(engine);
  const auto call = [&]() -> task<> {
    co_await shield(1s, log.sleep_for("inside", 5ms));
    co_await sleep(1h);
  };
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await log.end_of("call", with_timeout(2ms, call()));
      co_await log.sleep_for("outside", 1ms);
    });
    co_await sleep(3ms);
    target.request_kill();
    co_await target.join();
  };
  run_on(engine, main());
  CHECK(log.text() == "inside@5 call cancelled@5 outside@6 ");
}

// Shields in shields

TEST_CASE("the outer shield still holds back its interruptions when an inner one ends") {
  scripted_engine engine;
  notes log(engine);
  const auto guarded = [&]() -> task<> {
    co_await shield(1s, log.sleep_for("inner", 2ms));
    co_await log.sleep_for("between", 2ms);
  };
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await shield(1s, guarded());
      co_await log.sleep_for("behind", 2ms);
    });
    co_await yield();
    target.request_kill();
    co_await target.join();
  };
  run_on(engine, main());
  CHECK(log.text() == "inner@2 between@4 behind cancelled@4 ");
}

TEST_CASE("each of several nested shields holds until its own limit, so the later limit counts") {
  scripted_engine engine;
  notes log(engine);
  const auto nested = [&](std::chrono::milliseconds outer, std::chrono::milliseconds inner) {
    const auto guarded = [&log, inner]() -> task<> {
      co_await shield(inner, log.sleep_for("inner", 20ms));
      co_await log.sleep_for("between", 20ms);
    };
    return spawn([&log, outer, guarded]() -> task<> {
      co_await shield(outer, guarded());
      co_await log.sleep_for("behind", 20ms);
    });
  };
  const auto main = [&]() -> task<> {
    SUBCASE("the inner limit passes first") {
      const auto target = nested(10ms, 5ms);
      co_await yield();
      target.request_kill();
      co_await target.join();
      CHECK(log.text() == "inner cancelled@10 between@30 behind@50 ");
    }
    SUBCASE("the outer limit passes first") {
      const auto target = nested(5ms, 10ms);
      co_await yield();
      target.request_kill();
      co_await target.join();
      CHECK(log.text() == "inner cancelled@10 between@30 behind@50 ");
    }
    SUBCASE("the outer limit passes, and the inner call ends before its own") {
      const auto target = nested(5ms, 1h);
      co_await yield();
      target.request_kill();
      co_await target.join();
      CHECK(log.text() == "inner@20 between cancelled@20 behind@40 ");
    }
  };
  run_on(engine, main());
}

TEST_CASE("a limit between two shields ends the wait that follows the inner one") {
  scripted_engine engine;
  notes log(engine);
  const auto guarded = [&]() -> task<> {
    co_await shield(1s, log.sleep_for("inner", 5ms));
    co_await sleep(1h);
  };
  const auto main = [&]() -> task<> {
    const auto between = [&]() -> task<> {
      co_await log.end_of("between", with_timeout(2ms, guarded()));
    };
    const auto target = spawn([&]() -> task<> {
      co_await shield(1s, between());
      co_await log.sleep_for("behind", 1ms);
    });
    co_await yield();
    target.request_kill();
    co_await target.join();
  };
  run_on(engine, main());
  CHECK(log.text() == "inner@5 between with_timeout: timed out@5 behind cancelled@5 ");
}

// Groups

TEST_CASE("a group that is cancelled waits for what its members shield") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    const auto body = [&](task_group& group) -> task<> {
      const auto careful = [&]() -> task<> {
        co_await shield(1s, log.sleep_for("inside", 5ms));
        co_await log.sleep_for("behind", 5ms);
        co_await log.sleep_for("behind", 5ms);
      };
      const auto failing = []() -> task<> {
        co_await sleep(1ms);
        throw std::runtime_error("sibling");
      };
      group.spawn(careful);
      group.spawn(failing);
      co_return;
    };
    bool failed = false;
    try {
      co_await with_group(body);
    } catch (const std::exception&) {
      failed = true;
    }
    CHECK(failed);
    log.add("group");
  };
  run_on(engine, main());
  CHECK(log.text() == "inside@5 behind cancelled@5 behind cancelled@5 group@5 ");
}

// The end of the run

TEST_CASE("shields hold beyond the end of the main task, for options.shutdown_timeout") {
  scripted_engine engine;
  notes log(engine);
  const auto run_with = [&](std::chrono::milliseconds length, std::chrono::milliseconds limit) {
    const auto main = [&]() -> task<> {
      const auto body = [&log, length, limit]() -> task<> {
        co_await shield(limit, log.sleep_for("inside", length));
        co_await log.sleep_for("behind", 1ms);
      };
      spawn(body);
      co_await yield();
    };
    run_on(engine, main(), {.shutdown_timeout = 10ms});
  };
  SUBCASE("the call ends earlier") {
    run_with(5ms, 1h);
    CHECK(log.text() == "inside@5 behind cancelled@5 ");
  }
  SUBCASE("the shield's own limit passes earlier") {
    run_with(1000ms, 5ms);
    CHECK(log.text() == "inside cancelled@5 behind cancelled@5 ");
  }
  SUBCASE("the shutdown timeout passes earlier") {
    run_with(1000ms, 2000ms);
    CHECK(log.text() == "inside cancelled@10 behind cancelled@10 ");
  }
}

TEST_CASE(
    "a shield that begins in the shutdown timeout holds until its end, and later shields do not "
    "hold") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    spawn([&]() -> task<> {
      co_await log.sleep_for("body", 1h);
      co_await shield(1h, log.sleep_for("first", 1h));
      co_await shield(1h, log.sleep_for("second", 1h));
      co_await shield(forever, log.sleep_for("third", 1h));
    });
    co_await yield();
  };
  run_on(engine, main(), {.shutdown_timeout = 10ms});
  CHECK(log.text() ==
        "body cancelled@0 first cancelled@10 second cancelled@10 third cancelled@10 ");
}

TEST_CASE(
    "the scheduler does not wait until the shutdown timeout for a shielded wait that nothing can "
    "end") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    spawn([&]() -> task<> {
      co_await shield(forever, log.sleep_for("inside", std::chrono::milliseconds::max()));
    });
    co_await yield();
  };
  run_on(engine, main(), {.shutdown_timeout = 10ms});
  CHECK(log.text() == "inside cancelled@0 ");
}

TEST_CASE(
    "a fiber that outlives the shutdown timeout cleaning up after its shield ends the program") {
  CHECK(aborts_with("did not end within", [] {
    scripted_engine engine;
    const auto main = []() -> task<> {
      const auto stubborn = []() -> task<> {
        for (;;) {
          try {
            co_await sleep(1ms);
          } catch (const cancelled&) {
            current_scheduler().engine().wake();
            static_cast<scripted_engine&>(current_scheduler().engine()).advance(1'000'000);
          }
        }
      };
      spawn([stubborn]() -> task<> { co_await shield(1h, stubborn()); });
      co_await yield();
    };
    run_on(engine, main(), {.shutdown_timeout = 10ms});
  }));
}

// row: W42
TEST_CASE("a deadlock inside the main fiber's shield is reported once") {
  scripted_engine engine;
  notes log(engine);
  const auto main = [&]() -> task<> {
    const auto stuck = [&]() -> task<> {
      std::string_view word = "waited";
      try {
        co_await sleep(std::chrono::hours::max());
      } catch (const cancelled&) {
        word = "deadlock";
      }
      log.add(word);
      co_await log.sleep_for("inside", 1ms);
    };
    co_await shield(forever, stuck());
    co_await log.sleep_for("behind", 1ms);
  };
  run_on(engine, main());
  CHECK(log.text() == "deadlock@0 inside@1 behind@2 ");
}

TEST_CASE("a shield allocates only its frame, which is pooled") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    co_await shield(1ms, notes::plain_sleep(0ms));
    const std::size_t before = allocations();
    for (int i = 0; i < 10; ++i) {
      current().kill();
      co_await shield(1ms, notes::plain_sleep(0ms));
      bool thrown = false;
      try {
        co_await yield();
      } catch (const cancelled&) {
        thrown = true;
      }
      if (!thrown) throw std::runtime_error("the kill got lost");
    }
    // The runtime allocates exceptions with malloc, which is not counted.
    CHECK(allocations() == before);
  };
  run_on(engine, main());
}

TEST_SUITE_END();
