// with_group: what ends it early, from inside and from outside, and that no fiber stays alive.
//
// Method: as in task_group_test.cpp. At the end, trees of groups in which every fiber acts at
// random.
// SPDX-License-Identifier: MIT
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/random.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("task_group cancel");

// cancel()

TEST_CASE("cancel from the body ends all fibers, and is not an error") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    std::string log;
    fiber<> child;
    const std::string out = co_await outcome_of_group([&](task_group& group) -> task<> {
      child = group.spawn(sleep_for, 1h);
      co_await sleep(1ms);
      CHECK_FALSE(group.is_cancelled());
      group.cancel();
      group.cancel();
      CHECK(group.is_cancelled());
      log += "here, ";
      co_await sleep(0s);
      log += "not here";
    });
    CHECK(out == "done");
    CHECK(log == "here, ");
    CHECK(child.result() == outcome::cancelled);
    CHECK(engine.now() == begin + 1'000'000);
  });
}

TEST_CASE("cancel from a fiber of the group ends the body, that fiber and the rest") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    bool went_on = false;
    const std::string out = co_await outcome_of_group([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        co_await sleep(1ms);
        group.cancel();
        co_await yield();
        went_on = true;
      });
      group.spawn(sleep_for, 1h);
      co_await sleep(1h);
      went_on = true;
    });
    CHECK(out == "done");
    CHECK_FALSE(went_on);
    CHECK(engine.now() == begin + 1'000'000);
  });
}

TEST_CASE(
    "a cancelled group returns its body's value if there is one, else throws "
    "errc::fiber_cancelled") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto has_one = [](task_group& group) -> task<int> {
      group.spawn(sleep_for, 1h);
      group.spawn([&]() -> task<> {
        group.cancel();
        co_return;
      });
      co_return 6;
    };
    CHECK(co_await with_group(has_one) == 6);
    const auto has_none = [](task_group& group) -> task<int> {
      group.cancel();
      co_await yield();
      co_return 6;
    };
    std::error_code code;
    try {
      co_await with_group(has_none);
    } catch (const std::system_error& error) {
      code = error.code();
    }
    CHECK(code == errc::fiber_cancelled);
  });
}

TEST_CASE("a fiber spawned into a cancelled group never begins") {
  run_scripted([](scripted_engine&) -> task<> {
    bool ran = false;
    const auto run = [&]() -> task<> {
      ran = true;
      co_return;
    };
    fiber<> from_body, from_fiber;
    const std::string out = co_await outcome_of_group([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        try {
          co_await sleep(1h);
        } catch (const cancelled&) {
          from_fiber = group.spawn(run);
          throw;
        }
      });
      co_await yield();
      group.cancel();
      from_body = group.spawn(run);
      CHECK(group.size() == 1);  // it does not count
    });
    CHECK(out == "done");
    CHECK_FALSE(ran);
    CHECK(from_body.result() == outcome::cancelled);
    CHECK(from_fiber.result() == outcome::cancelled);
  });
}

TEST_CASE("a group waits for fibers that swallow their cancellation, however long they take") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    std::string log;
    const std::string out = co_await outcome_of_group([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        co_await note_cancellations(log, 300, "s");
        co_await shield(1h, sleep_for(9ms));
      });
      co_await yield();
      group.cancel();
    });
    CHECK(out == "done");
    CHECK(log.size() == 300);
    CHECK(engine.now() == begin + 9'000'000);
  });
}

TEST_CASE("a fiber in a shield is left alone until the shield ends, or its limit passes") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    std::string log;
    const auto shielded = [&](std::chrono::nanoseconds limit) -> task<> {
      co_await shield(limit, sleep_for(5ms));
      log += "saved ";
      co_await sleep(1h);
      log += "not here";
    };
    const std::string out = co_await outcome_of_group([&](task_group& group) -> task<> {
      group.spawn(shielded, 1h);
      group.spawn(shielded, 3ms);
      co_await sleep(1ms);
      group.cancel();
    });
    CHECK(out == "done");
    CHECK(log == "saved ");
    CHECK(engine.now() == begin + 5'000'000);
  });
}

namespace {

// Counts the requests to end, and ends when the test says so.
class counting_wait : public wait_base {
 public:
  counting_wait() noexcept : wait_base(forever) {}
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    if (!enter(caller.promise())) return continue_or_yield(caller.promise());
    suspend(type, caller.promise());
    return true;
  }
  void await_resume() { rethrow_interruption(); }
  void end() noexcept { wake(); }
  void on_cancel(cancel_reason reason) noexcept {
    reason_ = reason;
    ++asked;
  }

  int asked = 0;

 private:
  static const wait_type type;
};

const wait_type counting_wait::type = make_type<counting_wait>("test");

}  // namespace

TEST_CASE("each wait is cancelled once, however many fibers fail") {
  run_scripted([](scripted_engine&) -> task<> {
    counting_wait waiting;
    const auto body = [&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> { co_await std::move(waiting); });
      for (int i = 0; i < 5; ++i) group.spawn(fail_after, 1ms, "x");
      co_return;
    };
    const fiber<> calling = spawn([&]() -> task<> {
      const std::string out = co_await outcome_of(with_group(body));
      CHECK(out == "group: x x x x x");
    });
    co_await sleep(2ms);
    CHECK(waiting.asked == 1);
    CHECK_FALSE(calling.done());
    waiting.end();
    co_await calling.join();
  });
}

// The caller is ended

// row: PO-05
TEST_CASE("a kill of the caller cancels the group, waits for its end, and passes through") {
  run_scripted([](scripted_engine& engine) -> task<> {
    std::string log;
    std::vector<fiber<>> children;
    const steady_ns begin = engine.now();
    std::chrono::nanoseconds body_time = 0s;
    SUBCASE("in the body") { body_time = 1h; }
    SUBCASE("while the caller waits for the end") { body_time = 0s; }
    const fiber<> caller = spawn([&]() -> task<> {
      const std::string out = co_await outcome_of_group([&](task_group& group) -> task<> {
        for (int i = 0; i < 3; ++i) {
          children.push_back(group.spawn([&]() -> task<> {
            try {
              co_await sleep(1h);
            } catch (const cancelled&) {
              log += "child ";
            }
            co_await shield(1h, sleep_for(2ms));
          }));
        }
        co_await sleep(body_time);
      });
      log += out;
      try {
        co_await sleep(0s);  // the kill was thrown already: once only
        log += ", once";
      } catch (const cancelled&) {
        log += ", twice";
      }
    });
    co_await sleep(1ms);
    co_await caller.kill();
    CHECK(log == "child child child cancelled, once");
    CHECK(engine.now() == begin + 3'000'000);
    for (const fiber<>& one : children) CHECK(one.result() == outcome::value);
  });
}

TEST_CASE("a kill that is pending when the group begins is thrown at the body's first wait") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const fiber<> caller = spawn([&]() -> task<> {
      current().kill();
      log = co_await outcome_of_group([&](task_group& group) -> task<> {
        group.spawn([&]() -> task<> {
          log += "ran";
          co_return;
        });
        co_await yield();
        log += "continued";
      });
    });
    co_await caller.join();
    CHECK(log == "cancelled");
    const fiber<> no_wait = spawn([&]() -> task<> {
      current().kill();
      log = co_await outcome_of_group([&](task_group& group) -> task<> {
        group.spawn(sleep_for, 1h);
        co_return;  // then the wait for the end is the first one
      });
    });
    co_await no_wait.join();
    CHECK(log == "cancelled");
  });
}

TEST_CASE("success wins: a kill that comes after all have succeeded stays pending") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    fiber<> caller;
    const auto call = [&]() -> task<> {
      const auto body = [&](task_group& group) -> task<int> {
        // Ends all, and kills the caller before it has run.
        const fiber<> last = group.spawn(sleep_for, 1ms);
        last.on_done([&] { caller.request_kill(); });
        co_return 4;
      };
      const int value = co_await with_group(body);
      log += std::to_string(value);
      try {
        co_await yield();
      } catch (const cancelled&) {
        log += " cancelled";
      }
    };
    caller = spawn(call);
    co_await caller.join();
    CHECK(log == "4 cancelled");
    const auto quick = [&]() -> task<> {
      current().kill();
      const auto body = [](task_group&) -> task<int> { co_return 5; };
      const int value = co_await with_group(body);  // need not wait
      log = std::to_string(value);
    };
    co_await spawn(quick).join();
    CHECK(log == "5");
  });
}

TEST_CASE("a caller that is killed again while it waits for the end keeps waiting") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber<> child;
    std::string log;
    const fiber<> caller = spawn([&]() -> task<> {
      log = co_await outcome_of_group([&](task_group& group) -> task<> {
        child = group.spawn([]() -> task<> { co_await shield(1h, sleep_for(5ms)); });
        co_return;
      });
      try {
        co_await yield();
      } catch (const cancelled&) {
        log += " again";
      }
    });
    co_await sleep(1ms);
    caller.request_kill();
    co_await sleep(1ms);
    caller.request_kill();
    co_await caller.join();
    CHECK(child.done());
    CHECK(log == "cancelled again");
    CHECK(engine.now() == begin + 5'000'000);
  });
}

TEST_CASE(
    "an exception that the caller is killed with is the body's error, or is rethrown unchanged") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    std::chrono::nanoseconds body_time = 0s;
    SUBCASE("in the body") { body_time = 1h; }
    SUBCASE("while the caller waits for the end") { body_time = 0s; }
    fiber<> child;
    const fiber<> caller = spawn([&]() -> task<> {
      log = co_await outcome_of_group([&](task_group& group) -> task<> {
        child = group.spawn(sleep_for, 1h);
        co_await sleep(body_time);
      });
    });
    co_await sleep(1ms);
    co_await caller.kill(std::make_exception_ptr(std::runtime_error("given")));
    CHECK(log == (body_time == 0s ? "given" : "group: given"));
    CHECK(child.result() == outcome::cancelled);
  });
}

TEST_CASE("limits around a group pass through as timed_out, and inner groups do not swallow them") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber<> child;
    std::chrono::nanoseconds body_time = 0s;
    SUBCASE("in the body") { body_time = 1h; }
    SUBCASE("while the caller waits for the end") { body_time = 0s; }
    const auto body = [&](task_group& group) -> task<> {
      child = group.spawn([]() -> task<> {
        const std::string out = co_await outcome_of(with_timeout(1h, sleep_for(1h)));
        CHECK(out == "cancelled");
      });
      co_await sleep(body_time);
    };
    const std::string out = co_await outcome_of(with_timeout(2ms, with_group(body)));
    CHECK(out == "timed out");
    CHECK(child.done());
    CHECK(engine.now() == begin + 2'000'000);
  });
}

TEST_CASE("limits inside a group do not affect calls outside it") {
  run_scripted([](scripted_engine&) -> task<> {
    const std::string out = co_await outcome_of_group([](task_group& group) -> task<> {
      group.spawn([]() -> task<> {
        const std::string late = co_await outcome_of(with_timeout(1ms, sleep_for(1h)));
        CHECK(late == "timed out");
        co_await sleep(1ms);
      });
      const std::string late = co_await outcome_of(with_timeout(1ms, sleep_for(1h)));
      CHECK(late == "timed out");
      co_await sleep(1ms);
    });
    CHECK(out == "done");
  });
}

TEST_CASE("errors that a kill or a limit has displaced are reported") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        const auto body = [](task_group& group) -> task<> {
          group.spawn([]() -> task<> {
            try {
              co_await sleep(1h);
            } catch (const cancelled&) {
            }
            throw std::runtime_error("lost");
          });
          co_return;
        };
        const std::string out = co_await outcome_of(with_timeout(1ms, with_group(body)));
        CHECK(out == "timed out");
      },
      collecting(reports));
  CHECK(reports == std::vector<std::string>{"lost"});
}

TEST_CASE("groups in other fibers unwind in order, inside out, when the main task ends") {
  std::string log;
  run_scripted([&](scripted_engine&) -> task<> {
    spawn([&]() -> task<> {
      const auto body = [&](task_group& group) -> task<> {
        group.spawn([&]() -> task<> {
          const std::string inner = co_await outcome_of(sleep_for(1h));
          log += "fiber " + inner + ", ";
        });
        co_await sleep(1h);
      };
      const std::string out = co_await outcome_of(with_group(body));
      log += "caller " + out;
    });
    co_await sleep(1ms);
  });
  CHECK(log == "fiber cancelled, caller cancelled");
}

TEST_CASE("a shield around a group covers its fibers, too") {
  std::string log;
  run_scripted([&](scripted_engine&) -> task<> {
    const auto body = [&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        const std::string out = co_await outcome_of(sleep_for(5ms));
        log += "fiber " + out + ", ";
      });
      co_await sleep(5ms);
    };
    const auto call = [&](time_limit timeout) -> task<> {
      const std::string out = co_await outcome_of(shield(timeout, with_group(body)));
      log += "caller " + out;
    };
    SUBCASE("against the end of the program") {
      spawn(call, 1h);
      co_await sleep(1ms);
    }
    SUBCASE("against a kill of the caller") {
      const fiber<> caller = spawn(call, 1h);
      co_await sleep(1ms);
      co_await caller.kill();
    }
    SUBCASE("against a group around") {
      const std::string out = co_await outcome_of_group([&](task_group& group) -> task<> {
        group.spawn(call, 1h);
        co_await sleep(1ms);
        group.cancel();
      });
      CHECK(out == "done");
    }
  });
  CHECK(log == "fiber done, caller done");
}

TEST_CASE("a shield around a group lets the end of the program through once its limit has passed") {
  std::string log;
  run_scripted([&](scripted_engine&) -> task<> {
    spawn([&]() -> task<> {
      const auto body = [&](task_group& group) -> task<> {
        group.spawn([&]() -> task<> {
          const std::string out = co_await outcome_of(sleep_for(1h));
          log += "fiber " + out + ", ";
        });
        co_return;
      };
      const std::string out = co_await outcome_of(shield(3ms, with_group(body)));
      log += "caller " + out;
    });
    co_await sleep(1ms);
  });
  CHECK(log == "fiber cancelled, caller cancelled");
}

TEST_CASE("a shield around a group does not hold back a kill of one of its fibers") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber<> child;
    const auto body = [&](task_group& group) -> task<> {
      child = group.spawn(sleep_for, 1h);
      co_return;
    };
    const fiber<> caller = spawn([&]() -> task<> { co_await shield(1h, with_group(body)); });
    co_await sleep(1ms);
    CHECK(co_await child.kill(1ms));
    CHECK(co_await caller.join(1ms));
    CHECK(caller.result() == outcome::value);
  });
}

// Nested groups

TEST_CASE("the failure of an inner group is one error of the outer one") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string inner_siblings, outer_siblings;
    const std::string out = co_await outcome_of_group([&](task_group& outer) -> task<> {
      outer.spawn([&]() -> task<> {
        const auto body = [&](task_group& inner) -> task<> {
          inner.spawn(fail_after, 1ms, "a");
          inner.spawn(fail_after, 1ms, "b");
          inner.spawn([&]() -> task<> { co_await note_cancellations(inner_siblings, 2, "i"); });
          co_return;
        };
        co_await with_group(body);
      });
      outer.spawn([&]() -> task<> { co_await note_cancellations(outer_siblings, 2, "o"); });
      co_return;
    });
    CHECK(out == "group: 2 failed in a group: a; b");
    CHECK(inner_siblings == "ii");
    CHECK(outer_siblings == "oo");
  });
}

TEST_CASE("the cancellation of an outer group passes through the inner ones") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const std::string out = co_await outcome_of_group([&](task_group& outer) -> task<> {
      outer.spawn([&]() -> task<> {
        const auto body = [&](task_group& inner) -> task<> {
          inner.spawn([&]() -> task<> {
            const auto innermost = [&](task_group& last) -> task<> {
              last.spawn(sleep_for, 1h);
              co_return;
            };
            log += "innermost " + co_await outcome_of(with_group(innermost)) + ", ";
          });
          co_await sleep(1h);
        };
        log += "inner " + co_await outcome_of(with_group(body)) + ", ";
        co_await sleep(1h);
        log += "not here";
      });
      co_await sleep(1ms);
      outer.cancel();
    });
    CHECK(out == "done");
    CHECK(log == "innermost cancelled, inner cancelled, ");
  });
}

TEST_CASE("a group in the body of another ends without ending it") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const std::string out = co_await outcome_of_group([&](task_group& outer) -> task<> {
      const fiber<> other = outer.spawn(sleep_for, 2ms);
      log += co_await outcome_of_group([&](task_group& inner) -> task<> {
        inner.cancel();
        co_await sleep(1h);
      });
      CHECK_FALSE(outer.is_cancelled());
      co_await other.join();
      log += ", continued";
    });
    CHECK(out == "done");
    CHECK(log == "done, continued");
  });
}

// No fiber left alive

TEST_CASE("with_group waits until the last operation of its fibers has really ended") {
  run_scripted([](scripted_engine& engine) -> task<> {
    engine.hold_cancellations(true);
    bool ended = false;
    const fiber<> caller = spawn([&]() -> task<> {
      const auto body = [](task_group& group) -> task<> {
        group.spawn([]() -> task<> { co_await probe(7); });
        co_return;
      };
      const std::string out = co_await outcome_of(with_group(body));
      CHECK(out == "cancelled");
      ended = true;
    });
    co_await sleep(1ms);
    caller.request_kill();
    co_await sleep(1h);
    CHECK_FALSE(ended);
    engine.hold_cancellations(false);
    co_await caller.join();
    CHECK(ended);
  });
}

namespace {

// A tree of groups in which every fiber acts at random, and counts itself during its lifetime.
class random_groups {
 public:
  explicit random_groups(std::uint64_t seed) : random_(seed) {}

  task<> grow(int depth) {
    int alive_here = 0;
    const auto member = [&](task_group& group, int left) -> task<> {
      const alive counted(alive_here);
      co_await act(group, left);
    };
    const auto body = [&](task_group& group) -> task<> {
      const auto count = random_.below(4);
      for (std::uint64_t i = 0; i < count; ++i) {
        handles_.push_back(group.spawn(member, std::ref(group), depth));
      }
      co_await act(group, 0);
    };
    try {
      co_await with_group(body);
    } catch (...) {
      CHECK(alive_here == 0);
      throw;
    }
    CHECK(alive_here == 0);
  }

 private:
  struct alive {
    explicit alive(int& count) : counter(count) { ++counter; }
    ~alive() { --counter; }
    int& counter;
  };

  task<> act(task_group& group, int depth) {
    for (int i = 0; i < 3; ++i) {
      switch (random_.below(10)) {
        case 0:
          throw std::runtime_error("at random");
        case 1:
          group.cancel();
          break;
        case 2:
          handles_[random_.below(handles_.size())].request_kill();
          break;
        case 3:
          co_await shield(2ms, sleep_for(1ms * random_.below(5)));
          break;
        case 4:
          try {
            co_await sleep(1ms);
          } catch (const cancelled&) {
          }
          break;
        case 5:
          co_await move_on_after(1ms, sleep_for(2ms));
          break;
        case 6:
          handles_.push_back(group.spawn(sleep_for, 3ms));
          break;
        default:
          if (depth > 0) co_await grow(depth - 1);
          co_await sleep(1ms * random_.below(3));
      }
    }
  }

  random_numbers random_;
  std::vector<fiber<>> handles_ = {spawn(sleep_for, 0ms)};
};

}  // namespace

TEST_CASE("no fiber is alive when with_group has ended, whatever happens inside it") {
  std::vector<std::string> reports;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    run_scripted(
        [&](scripted_engine&) -> task<> {
          random_groups groups(seed);
          co_await outcome_of(groups.grow(4));
          const auto killed = spawn([&]() -> task<> { co_await groups.grow(3); });
          co_await sleep(1ms * (seed % 5));
          co_await killed.kill();
        },
        collecting(reports));
  }
}

TEST_SUITE_END();
