// A starter that is about to be unwound is resumed only after the fibers that it started have
// ended: with_group and similar calls, groups within groups and in greenlets, and the main task.
//
// Method: the starter's locals note their destruction, and each fiber notes its end, in one log on
// a scripted clock. Fibers clean up in a shield, so that they end later than they are cancelled.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/greenlet.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/when_all.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Notes its end in a log.
class local {
 public:
  local(std::string& log, std::string name) : log_(log), name_(std::move(name)) {}
  local(const local&) = delete;
  ~local() { log_ += name_ + " "; }

 private:
  std::string& log_;
  std::string name_;
};

// Waits until it is cancelled, and cleans up for 5 ms.
task<> worker(std::string& log, std::string name) {
  const local end(log, std::move(name));
  try {
    co_await sleep(1h);
  } catch (const cancelled&) {
  }
  co_await shield(1s, sleep_for(5ms));
}

// A body with a local and two workers, which waits for `last`.
body_of_group body_with_local(std::string& log, std::function<task<>(task_group&)> last) {
  return [&log, last](task_group& group) -> task<> {
    const local guard(log, "local");
    group.spawn(worker, std::ref(log), "one");
    group.spawn(worker, std::ref(log), "two");
    co_await last(group);
    log += "not-here ";
  };
}

task<> wait_long(task_group&) { co_await sleep(1h); }

}  // namespace

TEST_SUITE_BEGIN("held starter");

// Reasons to end

TEST_CASE("a kill ends the group's fibers before the body's locals are destroyed") {
  run_scripted([](scripted_engine& engine) -> task<> {
    std::string log;
    const steady_ns begin = engine.now();
    const fiber<> starter =
        spawn([&]() -> task<> { co_await in_group(body_with_local(log, wait_long)); });
    co_await sleep(1ms);
    CHECK(co_await starter.kill());
    CHECK(log == "one two local ");
    CHECK(engine.now() == begin + 6'000'000);
    CHECK(starter.result() == outcome::cancelled);
  });
}

TEST_CASE(
    "a limit around nested groups ends the fibers of all of them before any local is destroyed") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const auto outer = body_with_local(log, [&](task_group&) -> task<> {
      co_await in_group([&](task_group& group) -> task<> {
        const local guard(log, "inner-local");
        group.spawn(worker, std::ref(log), "inner");
        co_await sleep(1h);
      });
    });
    CHECK(co_await outcome_of(with_timeout(1ms, in_group(outer))) == "timed out");
    CHECK(log == "inner one two inner-local local ");
  });
}

TEST_CASE("a limit inside a body leaves the fibers of that body's group alone") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    co_await in_group([&](task_group& outer) -> task<> {
      outer.spawn(worker, std::ref(log), "outer");
      const auto inner = body_with_local(log, wait_long);
      CHECK(co_await outcome_of(with_timeout(1ms, in_group(inner))) == "timed out");
      CHECK(log == "one two local ");
      CHECK_FALSE(outer.is_cancelled());
      outer.cancel();
    });
  });
}

TEST_CASE(
    "a fiber's failure ends the group's other fibers before the body's locals are destroyed") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    CHECK(co_await outcome_of_group(body_with_local(log, [](task_group& group) -> task<> {
            group.spawn(fail_after, 1ms, "failed");
            co_await sleep(1h);
          })) == "group: failed");
    CHECK(log == "one two local ");
  });
}

TEST_CASE("cancel ends the group's fibers before the body's locals are destroyed") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    SUBCASE("called by the body") {
      CHECK(co_await outcome_of_group(body_with_local(log, [](task_group& group) -> task<> {
              co_await sleep(1ms);
              group.cancel();
              co_await sleep(0s);
            })) == "done");
    }
    SUBCASE("called by a fiber of the group, which then waits") {
      CHECK(co_await outcome_of_group(body_with_local(log, [&](task_group& group) -> task<> {
              group.spawn([&group]() -> task<> {
                group.cancel();
                co_await sleep(1h);
              });
              co_await sleep(1h);
            })) == "done");
    }
    CHECK(log == "one two local ");
  });
}

TEST_CASE("a fiber that kills its starter and waits for it is ended by its own request") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    fiber<> starter;
    starter = spawn([&]() -> task<> {
      co_await in_group(body_with_local(log, [&](task_group& group) -> task<> {
        group.spawn([&]() -> task<> {
          const local end(log, "killer");
          co_await starter.kill();
          log += "not-here ";
        });
        co_await sleep(1h);
      }));
    });
    CHECK(co_await starter.join());
    CHECK(log == "killer one two local ");
  });
}

TEST_CASE("a starter that kills itself is held as well") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const fiber<> starter = spawn([&]() -> task<> {
      co_await in_group(body_with_local(log, [](task_group&) -> task<> {
        co_await sleep(1ms);
        current().kill();
        co_await yield();
      }));
    });
    CHECK(co_await starter.join());
    CHECK(log == "one two local ");
  });
}

// A later interruption from further out, before the starter has run

TEST_CASE("a kill does not resume a body early after a limit inside it has passed") {
  std::string log;
  run_scripted([&](scripted_engine&) -> task<> {
    fiber<> starter;
    // Woken in the same turn as the limit, and first.
    spawn([&]() -> task<> {
      co_await sleep(1ms);
      starter.request_kill();
    });
    co_await yield();
    starter = spawn([&]() -> task<> {
      co_await in_group(body_with_local(
          log, [](task_group&) -> task<> { co_await with_timeout(1ms, sleep_for(1h)); }));
    });
    co_await starter.join();
  });
  CHECK(log == "one two local ");
}

TEST_CASE("cancel does not resume a body early after a limit inside it has passed") {
  std::string log;
  run_scripted([&](scripted_engine&) -> task<> {
    task_group* opened = nullptr;
    spawn([&]() -> task<> {
      co_await sleep(1ms);
      opened->cancel();
    });
    co_await yield();
    co_await in_group(body_with_local(log, [&](task_group& group) -> task<> {
      opened = &group;
      co_await with_timeout(1ms, sleep_for(1h));
    }));
  });
  CHECK(log == "one two local ");
}

TEST_CASE("a kill between the last fiber's end and its starter's turn holds the starter again") {
  std::string log;
  run_scripted([&](scripted_engine&) -> task<> {
    const fiber<> starter = spawn([&]() -> task<> {
      const fiber_base& self = current();
      co_await in_group(body_with_local(log, [&](task_group&) -> task<> {
        const auto inner = [&](task_group& group) -> task<> {
          // The starter is woken when it ends; the kill comes before the starter runs.
          group.spawn(sleep_for, 1h).on_done([&] { const_cast<fiber_base&>(self).kill(); });
          group.cancel();
          co_await sleep(0s);
        };
        co_await with_group(inner);
      }));
    });
    co_await starter.join();
  });
  CHECK(log == "one two local ");
}

// How its wait ends

TEST_CASE("a join does not succeed because its fibers were cancelled with the starter") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const fiber<> starter = spawn([&]() -> task<> {
      co_await in_group(body_with_local(log, [&](task_group& group) -> task<> {
        const fiber<> joined = group.spawn(worker, std::ref(log), "joined");
        co_await joinall(joined);
      }));
    });
    co_await sleep(1ms);
    co_await starter.kill();
    CHECK(log == "one two joined local ");
  });
}

TEST_CASE("a wait that had taken a value delivers it, and the next wait throws") {
  run_scripted([](scripted_engine& engine) -> task<> {
    std::string log;
    int taken = 0;
    const fiber<> starter = spawn([&]() -> task<> {
      co_await in_group(body_with_local(log, [&](task_group&) -> task<> {
        taken = co_await probe();
        log += "took ";
        co_await sleep(0s);
      }));
    });
    co_await sleep(1ms);
    engine.complete(engine.oldest(opcode::read), 7);  // before the kill, seen after it
    co_await starter.kill();
    CHECK(taken == 7);
    CHECK(log == "one two took local ");
  });
}

TEST_CASE("a starter that is ready when it is killed first runs to its next wait") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    event door;
    const fiber<> starter = spawn([&]() -> task<> {
      co_await in_group(body_with_local(log, [&](task_group& group) -> task<> {
        CHECK(co_await door.wait());
        log += "ran ";
        CHECK(group.is_cancelled());
        CHECK(group.spawn(worker, std::ref(log), "refused").done());
        co_await sleep(0s);
      }));
    });
    co_await sleep(1ms);
    door.set();
    co_await starter.kill();
    CHECK(log == "ran one two local ");
  });
}

TEST_CASE("a wait whose limit had passed reports that, and the next wait throws") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    queue<int> empty;
    const fiber<> starter = spawn([&]() -> task<> {
      co_await in_group(body_with_local(log, [&](task_group&) -> task<> {
        const auto taken = co_await as_result(empty.pop(1ms));
        CHECK(taken.error() == errc::timed_out);
        log += "late ";
        co_await yield();
      }));
    });
    co_await sleep(1ms);  // woken in the same turn, and first
    starter.request_kill();
    co_await starter.join();
    CHECK(log == "late one two local ");
  });
}

TEST_CASE("dump shows how many fibers a starter is held for") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const fiber<> starter =
        spawn([&]() -> task<> { co_await in_group(body_with_local(log, wait_long)); });
    co_await sleep(1ms);
    starter.request_kill();
    co_await sleep(1ms);
    CHECK(dump().find("held until 2 fibers have ended") != std::string::npos);
    co_await starter.join();
  });
}

// Shields

TEST_CASE("fibers keep working while their starter is in a shield") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    queue<int> items;
    const fiber<> starter = spawn([&]() -> task<> {
      co_await in_group([&](task_group& group) -> task<> {
        const local guard(log, "local");
        group.spawn([&]() -> task<> {
          const local end(log, "flusher");
          for (;;) log += std::to_string(co_await items.pop()) + " ";
        });
        co_await shield(1s, [](queue<int>& to) -> task<> {
          co_await sleep(2ms);
          co_await to.push(1);
          co_await to.push(2);
          co_await sleep(2ms);
        }(items));
        log += "behind ";
        co_await sleep(1h);
        log += "not-here ";
      });
    });
    co_await sleep(1ms);
    starter.request_kill();
    co_await starter.join();
    CHECK(log == "1 2 behind flusher local ");
  });
}

TEST_CASE("a group opened in a shield runs although its starter was killed") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const fiber<> starter = spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
      }
      current().kill();
      co_await shield(1s, in_group([&](task_group& group) -> task<> {
                        group.spawn([&]() -> task<> {
                          co_await sleep(1ms);
                          log += "ran ";
                        });
                        co_return;
                      }));
    });
    co_await yield();
    co_await starter.kill();
    CHECK(log == "ran ");
  });
}

TEST_CASE("a group of a shielded starter accepts fibers, which no outer interruption reaches") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const auto inner = [&](task_group& group) -> task<> {
      const auto shielded = [&]() -> task<> {
        co_await sleep(2ms);  // the outer group is cancelled
        CHECK_FALSE(group.is_cancelled());
        const fiber<> late = group.spawn([&]() -> task<> {
          co_await with_timeout(1s, sleep_for(1ms));  // a scope of its own
          log += "worked ";
        });
        CHECK_FALSE(late.done());
        co_await late.join();
      };
      co_await shield(1s, shielded());
      co_await sleep(1h);
      log += "not-here ";
    };
    co_await in_group([&](task_group& outer) -> task<> {
      outer.spawn(in_group, inner);
      co_await sleep(1ms);
      outer.cancel();
    });
    CHECK(log == "worked ");
  });
}

TEST_CASE("a group opened while an interruption is pending starts no fiber") {
  run_scripted([](scripted_engine&) -> task<> {
    bool ran = false;
    const fiber<> starter = spawn([&]() -> task<> {
      current().kill();
      co_await in_group([&](task_group& group) -> task<> {
        CHECK(group.is_cancelled());
        CHECK(group
                  .spawn([&]() -> task<> {
                    ran = true;
                    co_return;
                  })
                  .done());
        co_await sleep(1h);
      });
    });
    co_await starter.join();
    CHECK(starter.result() == outcome::cancelled);
    CHECK_FALSE(ran);
  });
}

TEST_CASE("a group stays cancelled after a caught kill, and the body can wait") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const fiber<> starter = spawn([&]() -> task<> {
      co_await in_group([&](task_group& group) -> task<> {
        group.spawn(worker, std::ref(log), "one");
        try {
          co_await sleep(1h);
        } catch (const cancelled&) {
          log += "caught ";
        }
        CHECK(group.is_cancelled());
        co_await sleep(1ms);
        log += "waited ";
      });
    });
    co_await sleep(1ms);
    co_await starter.kill();
    CHECK(starter.result() == outcome::value);
    CHECK(log == "one caught waited ");
  });
}

// Similar calls

TEST_CASE("when_all and pool::map end their calls before the caller's objects are destroyed") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    SUBCASE("when_all") {
      const fiber<> caller = spawn([&]() -> task<> {
        const local lent(log, "lent");
        co_await when_all(worker(log, "one"), worker(log, "two"));
      });
      co_await sleep(1ms);
      co_await caller.kill();
    }
    SUBCASE("when_any") {
      const fiber<> caller = spawn([&]() -> task<> {
        const local lent(log, "lent");
        co_await when_any(worker(log, "one"), worker(log, "two"));
      });
      co_await sleep(1ms);
      co_await caller.kill();
    }
    SUBCASE("map, with more items than slots") {
      const fiber<> caller = spawn([&]() -> task<> {
        const local lent(log, "lent");
        pool places(2);
        const std::vector<std::string> names{"one", "two", "three"};
        const auto work = [&](const std::string& name) { return worker(log, name); };
        co_await places.map(names, work);
      });
      co_await sleep(1ms);
      co_await caller.kill();
    }
    CHECK(log == "one two lent ");
  });
}

TEST_CASE("a group in a suspended greenlet ends with its fiber, before the fiber's locals") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const fiber<> starter = spawn([&]() -> task<> {
      const local guard(log, "local");
      greenlet<> inner([&]() -> task<> {
        co_await in_group(body_with_local(log, [&](task_group&) -> task<> {
          co_await greenlet<>::current().parent().switch_to();
        }));
      });
      co_await inner.switch_to();
      co_await sleep(1h);
    });
    co_await sleep(1ms);
    co_await starter.kill();
    CHECK(log == "one two local local ");
  });
}

TEST_CASE("a member of a group is shielded like the call that opened it") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const auto look = [&](std::string name) -> task<> {
      log += name + (current().is_shielded() ? "+ " : "- ");
      co_return;
    };
    const auto inner = [&](task_group& group) -> task<> {
      group.spawn(look, "inner");
      co_return;
    };
    const auto body = [&](task_group& group) -> task<> {
      group.spawn(look, "member");
      group.spawn([&]() -> task<> { co_await with_group(inner); });
      co_await sleep(1ms);
      group.spawn(look, "late");
      co_await shield(1h, look("own"));
    };
    co_await with_group(body);
    CHECK(log == "member- inner- own+ late- ");
    log.clear();
    co_await shield(1h, with_group(body));
    CHECK(log == "member+ inner+ own+ late+ ");
    log.clear();
    co_await shield(1h, when_all(look("one"), look("two")));
    CHECK(log == "one+ two+ ");
  });
}

TEST_CASE("a shield in a suspended greenlet does not protect the members of a group there") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const auto look = [&]() -> task<> {
      for (int i = 0; i < 3; ++i) {
        log += current().is_shielded() ? '+' : '-';
        co_await sleep(2ms);
      }
    };
    const auto body = [&](task_group& group) -> task<> {
      group.spawn(look);
      co_await sleep(1ms);
      co_await greenlet<>::current().parent().switch_to();
    };
    const greenlet<> inner([&]() -> task<> { co_await shield(1h, with_group(body)); });
    const auto enter = [&]() -> task<> { co_await inner.switch_to(); };
    co_await with_timeout(1h, enter());  // encloses the greenlet's scopes, and ends before them
    CHECK(log == "+");
    co_await sleep(2ms);
    CHECK(log == "+-");
    co_await shield(1h, sleep_for(2ms));
    CHECK(log == "+-+");
    co_await inner.switch_to();
  });
}

TEST_CASE("fibers held by a cancelled tree of starters end from the leaves to the root") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    std::function<task<>(int)> grow = [&](int depth) -> task<> {
      const local guard(log, std::to_string(depth));
      if (depth == 0) co_await sleep(1h);
      co_await in_group([&](task_group& group) -> task<> {
        group.spawn([&grow, depth]() -> task<> { co_await grow(depth - 1); });
        co_await sleep(1h);
      });
    };
    const fiber<> root = spawn(std::ref(grow), 3);
    co_await sleep(1ms);
    co_await root.kill();
    CHECK(log == "0 1 2 3 ");
  });
}

TEST_CASE("a tree of 10,000 starters is cancelled without a deep stack") {
  run_scripted([](scripted_engine&) -> task<> {
    std::function<task<>(int)> grow = [&](int depth) -> task<> {
      if (depth == 0) co_await sleep(1h);
      co_await in_group([&](task_group& group) -> task<> {
        group.spawn([&grow, depth]() -> task<> { co_await grow(depth - 1); });
        co_await sleep(1h);
      });
    };
    const fiber<> root = spawn(std::ref(grow), 10'000);
    co_await sleep(1ms);
    CHECK(co_await root.kill());
  });
}

// Errors that are hidden

TEST_CASE("the body's error that a limit hides is reported") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        const auto body = [](task_group& group) -> task<> {
          group.spawn([]() -> task<> { co_await shield(1h, sleep_for(5ms)); });
          co_await yield();
          throw std::runtime_error("body");
        };
        CHECK(co_await outcome_of(with_timeout(1ms, in_group(body))) == "timed out");
      },
      collecting(reports));
  CHECK(reports == std::vector<std::string>{"body"});
}

TEST_CASE("the exception of a kill is thrown although a limit passes while the starter is held") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        const fiber<> starter = spawn([]() -> task<> {
          const auto body = [](task_group& group) -> task<> {
            group.spawn([]() -> task<> { co_await shield(1h, sleep_for(5ms)); });
            co_await sleep(1h);
          };
          CHECK(co_await outcome_of(with_timeout(2ms, in_group(body))) == "group: given");
        });
        co_await sleep(1ms);
        starter.request_kill(std::make_exception_ptr(std::runtime_error("given")));
        co_await starter.get();
      },
      collecting(reports));
  CHECK(reports.empty());
}

TEST_CASE("when_all throws the first failure and reports the rest") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        CHECK(co_await outcome_of([]() -> task<> {
                co_await when_all(fail_after(1ms, "one"), fail_after(1ms, "two"),
                                  fail_after(1ms, "three"));
              }()) == "one");
      },
      collecting(reports));
  CHECK(reports == std::vector<std::string>{"two", "three"});
}

// group_failure::report

TEST_CASE("a failed fiber is reported by name under group_failure::report, and the rest continue") {
  std::vector<std::string> reports;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    reports.push_back(std::string(failure.name) + ": " + text_of(failure.error));
  };
  run_scripted(
      [&](scripted_engine&) -> task<> {
        std::string log;
        const auto body = [&](task_group& group) -> task<> {
          group.spawn(fail_after, 1ms, "reset").set_name("peer");
          group.spawn([&]() -> task<> {
            co_await sleep(2ms);
            log += "continued ";
          });
          co_return;
        };
        co_await with_group(group_options{.on_failure = group_failure::report}, body);
        CHECK(log == "continued ");
      },
      settings);
  CHECK(reports == std::vector<std::string>{"peer: reset"});
}

TEST_CASE(
    "the body's error ends the group under group_failure::report, and is rethrown unchanged") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber<> one;
    const auto body = [&](task_group& group) -> task<> {
      one = group.spawn(sleep_for, 1h);
      throw std::runtime_error("body");
      co_return;
    };
    const group_options settings{.on_failure = group_failure::report};
    CHECK(co_await outcome_of(with_group(settings, body)) == "body");
    CHECK(one.result() == outcome::cancelled);
  });
}

TEST_CASE("spawn_after and spawn_every in a group belong to it while they sleep") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    int ticks = 0;
    co_await in_group([&](task_group& group) -> task<> {
      group.spawn_every(10ms, [&]() -> task<> {
        ++ticks;
        co_return;
      });
      group.spawn_after(35ms, [&group]() -> task<> {
        group.cancel();
        co_return;
      });
      CHECK(group.size() == 2);
      co_return;
    });
    CHECK(ticks == 3);
    CHECK(engine.now() == begin + 35'000'000);
  });
}

// Objects destroyed under fibers that wait for them

TEST_CASE("unwinding an event or queue by an error ends its waits with closed, and reports them") {
  std::vector<std::string> reports;
  std::string ends;
  std::string out;
  const auto note = [&](task<> call) -> task<> {
    ends += co_await outcome_of(std::move(call)) + " ";
  };
  const auto main = [&](scripted_engine&) -> task<> {
    event door;
    queue<int> items(0);
    spawn(note(([](event& e) -> task<> { co_await e.wait(); })(door)));
    spawn(note(([](queue<int>& q) -> task<> { co_await q.pop(); })(items)));
    co_await yield();
    throw std::runtime_error("main failed");
  };
  try {
    run_scripted(main, collecting(reports));
  } catch (const std::runtime_error& error) {
    out = error.what();
  }
  CHECK(out == "main failed");
  CHECK(ends == "cancelled cancelled ");  // the main task ended before they ran
  REQUIRE(reports.size() == 2);
  CHECK(reports[0].find("a queue was destroyed while a fiber waited") == 0);
  CHECK(reports[1].find("an event was destroyed while a fiber waited") == 0);
}

TEST_CASE("fibers that wait for a killed fiber's queue get closed") {
  std::vector<std::string> reports;
  std::string end;
  run_scripted(
      [&](scripted_engine&) -> task<> {
        fiber<> user;
        const fiber<> owner = spawn([&]() -> task<> {
          queue<int> items;
          user = spawn([&]() -> task<> {
            end = co_await outcome_of(([](queue<int>& q) -> task<> { co_await q.pop(); })(items));
          });
          co_await sleep(1h);
        });
        co_await sleep(1ms);
        co_await owner.kill();
        co_await user.join();
      },
      collecting(reports));
  CHECK(end == "closed");
  CHECK(reports.size() == 1);
}

TEST_CASE("an event that a return destroys under its waiters aborts and names the rule") {
  CHECK(aborts_with("must outlive the fibers that use it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      event door;
      spawn([&]() -> task<> { co_await door.wait(); });
      co_await yield();
    });
  }));
}

TEST_SUITE_END();
