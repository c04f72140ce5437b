// with_group: its return value, which fibers a failure cancels, and what it throws.
//
// Method: the scripted engine's clock moves only when every fiber sleeps, so numbers decide the
// order. Fibers that are cancelled have no co_await inside a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/counted.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("task_group");

// Success

// rows: PO-05 GL-12
TEST_CASE("with_group returns when its body and all its fibers have ended") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber<> longest;
    const auto body = [&](task_group& group) -> task<> {
      CHECK(group.size() == 0);
      group.spawn(sleep_for, 2ms);
      longest = group.spawn(sleep_for, 5ms);
      group.spawn(sleep_for(3ms));
      CHECK(group.size() == 3);
      co_await sleep(1ms);
    };
    co_await with_group(body);
    CHECK(engine.now() == begin + 5'000'000);
    CHECK(longest.result() == outcome::value);
    const auto slow_body = [&](task_group& group) -> task<> {
      group.spawn(sleep_for, 2ms);
      co_await sleep(7ms);
      CHECK(group.size() == 0);
    };
    co_await with_group(slow_body);
    CHECK(engine.now() == begin + 12'000'000);
  });
}

// row: W1
TEST_CASE("spawning in a group queues the fibers in order, and the body continues") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const auto note = [&](char name) -> task<> {
      log += name;
      co_return;
    };
    const auto body = [&](task_group& group) -> task<> {
      group.spawn(note, 'b');
      group.spawn(note, 'c');
      log += 'a';
      co_return;
    };
    co_await with_group(body);
    CHECK(log == "abc");
  });
}

TEST_CASE("a group without fibers runs its body only, and ends without a turn") {
  run_scripted([](scripted_engine& engine) -> task<> {
    bool other_ran = false;
    spawn([&]() -> task<> {
      other_ran = true;
      co_return;
    });
    const auto body = [](task_group&) -> task<int> { co_return 5; };
    const int value = co_await with_group(body);
    CHECK(value == 5);
    CHECK_FALSE(other_ran);
    CHECK(engine.waits() == 0);
  });
}

TEST_CASE("with_group returns the value of its body: values, move-only ones, references") {
  run_scripted([](scripted_engine&) -> task<> {
    static int target = 3;
    const auto number = [](task_group& group) -> task<int> {
      const fiber<int> seven = group.spawn(value_after<int>, 1ms, 7);
      co_return co_await seven.get();
    };
    CHECK(co_await with_group(number) == 7);
    const auto owner = [](task_group& group) -> task<std::unique_ptr<int>> {
      group.spawn(sleep_for, 1ms);
      co_return std::make_unique<int>(8);
    };
    const std::unique_ptr<int> owned = co_await with_group(owner);
    CHECK(*owned == 8);
    const auto referring = [](task_group& group) -> task<int&> {
      group.spawn(sleep_for, 1ms);
      co_return target;
    };
    int& referred = co_await with_group(referring);
    CHECK(&referred == &target);
    struct no_default {
      explicit no_default(int n) : value(n) {}
      int value;
    };
    const auto special = [](task_group&) -> task<no_default> { co_return no_default(9); };
    CHECK((co_await with_group(special)).value == 9);
  });
}

TEST_CASE("the value of the body and its arguments are destroyed once") {
  life_count lives;
  run_scripted([&](scripted_engine&) -> task<> {
    const auto body = [](task_group& group, const counted& by_reference,
                         counted by_value) -> task<counted> {
      CHECK(by_reference.value() == 1);
      group.spawn([](counted) -> task<> { co_await sleep(1ms); }, by_value);
      co_return by_value;
    };
    counted one(lives, 1);
    counted two(lives, 2);
    {
      const counted value = co_await with_group(body, one, two);
      CHECK(value.value() == 2);
      CHECK(lives.alive() == 3);
    }
    CHECK(lives.alive() == 2);
  });
  CHECK(lives.alive() == 0);
}

TEST_CASE("fibers of a group may spawn into it, even after its body has returned") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    int ran = 0;
    const std::function<task<>(task_group&, int)> grow = [&](task_group& group,
                                                             int left) -> task<> {
      ++ran;
      co_await sleep(1ms);
      for (int i = 0; left != 0 && i < 2; ++i) group.spawn(grow, std::ref(group), left - 1);
    };
    const auto body = [&](task_group& group) -> task<> {
      group.spawn(grow, std::ref(group), 4);
      co_return;
    };
    co_await with_group(body);
    CHECK(ran == 31);
    CHECK(engine.now() == begin + 5'000'000);
  });
}

TEST_CASE("with_group also waits for a fiber that is spawned as the last fiber ends") {
  // The caller is queued to run by then.
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber<> late;
    const auto body = [&](task_group& group) -> task<> {
      const fiber<> last = group.spawn(sleep_for, 1ms);
      SUBCASE("by a callback") {
        last.on_done([&] { late = group.spawn(sleep_for, 2ms); });
      }
      SUBCASE("by another fiber, which is ready to run, too") {
        const auto other = [&late](task_group& in) -> task<> {
          co_await sleep(1ms);
          late = in.spawn(sleep_for, 2ms);
        };
        spawn(other, std::ref(group));
      }
      co_return;
    };
    co_await with_group(body);
    CHECK(late.result() == outcome::value);
    CHECK(engine.now() == begin + 3'000'000);
  });
}

TEST_CASE("a body may wait for its fibers one by one, and collect their values") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto body = [](task_group& group) -> task<std::vector<int>> {
      std::vector<fiber<int>> all;
      for (int i = 0; i < 100; ++i)
        all.push_back(group.spawn(value_after<int>, 1ms * (100 - i), i));
      std::vector<int> values;
      for (fiber<int>& one : all) {
        const int value = co_await one.get();
        values.push_back(value);
      }
      co_return values;
    };
    const std::vector<int> values = co_await with_group(body);
    CHECK(values.size() == 100);
    CHECK(values[42] == 42);
  });
}

// Failures

// row: PO-05
TEST_CASE("the first failure cancels siblings and body, at every wait") {
  std::string log;
  run_scripted([&](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    const std::string out = co_await outcome_of_group([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        co_await note_cancellations(log, 3, "s");
        co_await sleep(1h);
        log += "not here";
      });
      group.spawn(fail_after, 1ms, "first");
      co_await note_cancellations(log, 3, "b");
      CHECK(group.is_cancelled());
      co_await sleep(1h);
      log += "nor here";
    });
    CHECK(out == "group: first");
    CHECK(engine.now() == begin + 1'000'000);
  });
  CHECK(log.size() == 6);
  CHECK(log.find_first_not_of("sb") == log.npos);
}

TEST_CASE("a failure cancels fibers that have not begun, and they never begin") {
  run_scripted([](scripted_engine&) -> task<> {
    bool ran = false;
    fiber<> unstarted;
    const std::string out = co_await outcome_of_group([&](task_group& group) -> task<> {
      group.spawn(fail_after(0s, "at once"));
      group.spawn([]() -> task<> {
        throw std::runtime_error("before it");
        co_return;
      });
      unstarted = group.spawn([&]() -> task<> {
        ran = true;
        co_return;
      });
      co_return;
    });
    CHECK(out == "group: before it");
    CHECK_FALSE(ran);
    CHECK(unstarted.result() == outcome::cancelled);
  });
}

// row: PO-05
TEST_CASE("a group_error keeps all errors, in the order in which they occurred") {
  const auto fail_in_cleanup = [](const char* what) -> task<> {
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
    }
    throw std::runtime_error(what);
  };
  run_scripted([&](scripted_engine&) -> task<> {
    SUBCASE("of the fibers") {
      CHECK(co_await outcome_of_group([&](task_group& group) -> task<> {
              group.spawn(fail_in_cleanup, "second");
              group.spawn(fail_after, 1ms, "first");
              group.spawn(fail_in_cleanup, "third");
              co_return;
            }) == "group: first second third");
    }
    SUBCASE("the body's is the first") {
      CHECK(co_await outcome_of_group([&](task_group& group) -> task<> {
              group.spawn(fail_in_cleanup, "fiber");
              co_await yield();
              throw std::runtime_error("body");
            }) == "group: body fiber");
    }
    SUBCASE("the body's comes after those of its fibers, for which the body was held") {
      CHECK(co_await outcome_of_group([&](task_group& group) -> task<> {
              group.spawn(fail_in_cleanup, "last");
              group.spawn(fail_after, 1ms, "first");
              co_await fail_in_cleanup("body");
            }) == "group: first last body");
    }
    SUBCASE("two that fail in the same turn") {
      CHECK(co_await outcome_of_group([&](task_group& group) -> task<> {
              group.spawn(fail_after, 1ms, "one");
              group.spawn(fail_after, 1ms, "two");
              co_return;
            }) == "group: one two");
    }
  });
}

// row: W47
TEST_CASE("a body that fails cancels its fibers, and with_group waits for them") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber<> child;
    const std::string out = co_await outcome_of_group([&](task_group& group) -> task<> {
      child = group.spawn([]() -> task<> {
        try {
          co_await sleep(1h);
        } catch (const cancelled&) {
        }
        co_await shield(1h, sleep_for(3ms));
        co_await sleep(1h);
      });
      co_await sleep(1ms);
      throw std::runtime_error("body");
    });
    CHECK(out == "group: body");
    CHECK(child.result() == outcome::cancelled);
    CHECK(engine.now() == begin + 4'000'000);
  });
}

TEST_CASE("a body that throws before its first wait, or is not a coroutine, has failed") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto no_coroutine = [](task_group& group) -> task<> {
      group.spawn(sleep_for, 1h);
      throw std::runtime_error("thrown by the call");
    };
    CHECK_THROWS_AS(co_await with_group(no_coroutine), group_error);
    const auto value_body = [](task_group& group) -> task<int> {
      group.spawn(sleep_for, 1h);
      throw 5;
      co_return 1;
    };
    CHECK_THROWS_WITH_AS(co_await with_group(value_body),
                         "1 failed in a group: an exception that is not a std::exception",
                         group_error);
  });
}

TEST_CASE("the message of a group_error has the number of errors, and the message of each") {
  const group_error one({std::make_exception_ptr(std::runtime_error("alone"))});
  CHECK(one.what() == std::string("1 failed in a group: alone"));
  const group_error several({std::make_exception_ptr(std::runtime_error("a")),
                             std::make_exception_ptr(7), std::make_exception_ptr(one)});
  CHECK(several.what() == std::string("3 failed in a group: a; an exception that is not a "
                                      "std::exception; 1 failed in a group: alone"));
  CHECK(several.errors().size() == 3);
  const std::exception& as_base = several;
  CHECK(as_base.what() == std::string(several.what()));
}

TEST_CASE("errors in a group_error are not reported separately") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        const std::string out = co_await outcome_of_group([](task_group& group) -> task<> {
          group.spawn(fail_after, 1ms, "one");
          group.spawn(fail_after, 1ms, "two");
          co_return;
        });
        CHECK(out == "group: one two");
      },
      collecting(reports));
  CHECK(reports.empty());
}

TEST_CASE("a body that waits for the value of a failing fiber is cancelled, and adds no error") {
  run_scripted([](scripted_engine&) -> task<> {
    CHECK(co_await outcome_of_group([](task_group& group) -> task<> {
            const fiber<> failing = group.spawn(fail_after, 1ms, "once");
            co_await failing.get();
          }) == "group: once");
  });
}

TEST_CASE("a killed fiber has not failed, and its siblings continue") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    const std::string out = co_await outcome_of_group([](task_group& group) -> task<> {
      const fiber<> killed = group.spawn(sleep_for, 1h);
      const fiber<> unstarted = group.spawn(sleep_for, 1h);
      unstarted.request_kill();
      group.spawn(sleep_for, 3ms);
      co_await sleep(1ms);
      co_await killed.kill();
      CHECK_FALSE(group.is_cancelled());
      CHECK(group.size() == 1);
    });
    CHECK(out == "done");
    CHECK(engine.now() == begin + 3'000'000);
  });
}

TEST_CASE("a fiber that is killed with an exception has failed with that exception") {
  run_scripted([](scripted_engine&) -> task<> {
    CHECK(co_await outcome_of_group([](task_group& group) -> task<> {
            const fiber<> killed = group.spawn(sleep_for, 1h);
            killed.request_kill(std::make_exception_ptr(std::runtime_error("given")));
            co_await sleep(1h);
          }) == "group: given");
  });
}

// Dump, deadlock, allocation and misuse

TEST_CASE("dump shows that a caller waits for the end of a group, and for how many fibers") {
  run_scripted([](scripted_engine&) -> task<> {
    const fiber<> caller = spawn([]() -> task<> {
      const auto body = [](task_group& group) -> task<> {
        group.spawn(sleep_for, 1ms);
        group.spawn(sleep_for, 2ms);
        co_return;
      };
      co_await with_group(body);
    });
    co_await yield();
    CHECK(dump().find("fiber 2: end of a group of 2 fibers") != std::string::npos);
    co_await yield();
    co_await sleep(1ms);
    CHECK(dump().find("fiber 2: end of a group of 1 fiber,") != std::string::npos);
    co_await caller.join();
  });
}

TEST_CASE("fibers of a group know their spawner and their spawn site") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto body = [](task_group& group) -> task<> {
      const auto here = std::source_location::current();
      const fiber<> one = group.spawn([]() -> task<> { co_return; });
      const fiber<> other = group.spawn(sleep_for, 1ms);
      CHECK(one.state().parent_id() == current().id());
      CHECK(one.state().spawned_at().line() == here.line() + 1);
      CHECK(other.state().spawned_at().line() == here.line() + 2);
      CHECK(std::string(other.state().spawned_at().file_name()) == here.file_name());
      co_return;
    };
    co_await with_group(body);
  });
}

TEST_CASE("a group whose fibers wait for each other is a deadlock, which ends the group") {
  fiber<> one, other;
  const std::string out = deadlock_of([&](scripted_engine&) -> task<> {
    co_await in_group([&](task_group& group) -> task<> {
      one = group.spawn([&]() -> task<> { co_await other.join(); });
      other = group.spawn([&]() -> task<> { co_await one.join(); });
      co_return;
    });
  });
  CHECK(out.find("deadlock") == 0);
  CHECK(one.result() == outcome::cancelled);
  CHECK(other.result() == outcome::cancelled);
}

TEST_CASE("cancelling a group does not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto body = [](task_group& group) -> task<> {
      for (int i = 0; i < 10; ++i) group.spawn(sleep_for, 1h);
      group.spawn([]() -> task<> {
        const auto inner = [](task_group& nested) -> task<> {
          nested.spawn([]() -> task<> { co_await probe(); });
          co_return;
        };
        co_await with_group(inner);
      });
      co_await yield();
      const std::size_t before = allocations();
      group.cancel();
      CHECK(allocations() == before);
    };
    co_await with_group(body);
  });
}

TEST_CASE("the end of a fiber of a group does not allocate, nor does waking the caller") {
  run_scripted([](scripted_engine&) -> task<> {
    std::size_t before = 0;
    const auto body = [&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        co_await sleep(1ms);
        before = allocations();
      });
      co_return;
    };
    co_await with_group(body);
    CHECK(allocations() == before);
  });
}

TEST_CASE("destroying a group's call while fibers of the group are alive aborts") {
  CHECK(aborts_with("a group ended while fibers of it were alive", [] {
    run_scripted([](scripted_engine&) -> task<> {
      task_group group;
      group.spawn(sleep_for, 1h);
      co_return;
    });
  }));
}

TEST_CASE("spawning into a group on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child cannot start threads
  CHECK(aborts_with("a fiber was spawned in a group of another thread's scheduler", [] {
    run_scripted([](scripted_engine&) -> task<> {
      const auto body = [](task_group& group) -> task<> {
        std::thread([&] { group.spawn(sleep_for, 1h); }).join();
        co_return;
      };
      co_await with_group(body);
    });
  }));
}

TEST_CASE("using a group after its call has returned aborts") {
  if (sanitized) return;  // AddressSanitizer detects it first
  const auto use = [](void (*wrong)(task_group&)) {
    return [wrong] {
      run_scripted([wrong](scripted_engine&) -> task<> {
        task_group* kept = nullptr;
        const auto body = [&kept](task_group& group) -> task<> {
          kept = &group;
          co_return;
        };
        co_await with_group(body);
        wrong(*kept);
      });
    };
  };
  const char* const rule = "a task_group was used after its with_group() had returned";
  CHECK(aborts_with(rule, use([](task_group& ended) { ended.spawn(sleep_for, 1h); })));
  CHECK(aborts_with(rule, use([](task_group& ended) { ended.cancel(); })));
}

TEST_SUITE_END();
