// Objects of one scheduler used on the thread of another scheduler, or of none: the program ends
// with a message that names both.
//
// Method: in a child, a fiber of the scheduler "owner" creates an object and waits (its thread
// does) while another thread uses the object. Every class has its own object and its own rules.
// SPDX-License-Identifier: MIT
#include <ringlet/event.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/fiber_set.hpp>
#include <ringlet/greenlet.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <csignal>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "support/child.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

options named(const char* name) {
  options settings;
  settings.name = name;
  return settings;
}

void on_other_scheduler(const std::function<task<>()>& misuse) {
  std::thread([&] { run(misuse(), named("other")); }).join();
}

// Whether `in_owner`, in a fiber of the scheduler "owner", ended the child with that rule, the
// owner's name, and what runs on the other thread.
bool ends_with(std::string_view rule, std::string_view other,
               const std::function<task<>()>& in_owner) {
  const child_end end = run_in_child([&] { run(in_owner(), named("owner")); });
  const std::string expected = std::string(rule) +
                               ": it belongs to scheduler \"owner\", and this " + "thread runs " +
                               std::string(other);
  if (end.signal == SIGABRT && end.errors.find(expected) != std::string::npos) return true;
  describe_unexpected(end, expected);
  return false;
}

bool is_refused(std::string_view rule, const std::function<task<>()>& in_owner) {
  return ends_with(rule, "scheduler \"other\"; have it done there, by scheduler_handle::post()",
                   in_owner);
}

task<> do_nothing() { co_return; }
task<> sleep_long() { co_await sleep(1h); }

}  // namespace

// Under ThreadSanitizer a forked child cannot start threads.
TEST_SUITE_BEGIN("wrong_thread" * doctest::skip(sanitized));

TEST_CASE("using an event on another thread aborts, even if no fiber waits for it") {
  const std::string_view rule = "an event was used on a thread that is not its scheduler's";
  const auto with = [](const std::function<task<>(event&)>& misuse) {
    return [misuse]() -> task<> {
      event door;
      door.set();
      door.reset();
      on_other_scheduler([&] { return misuse(door); });
      co_return;
    };
  };
  CHECK(is_refused(rule, with([](event& door) -> task<> {
                     door.set();
                     co_return;
                   })));
  const auto with_set = [](const std::function<task<>(event&)>& misuse) {
    return [misuse]() -> task<> {
      event door;
      door.set();
      on_other_scheduler([&] { return misuse(door); });
      co_return;
    };
  };
  CHECK(is_refused(rule, with_set([](event& door) -> task<> { co_await door.wait(); })));
  CHECK(is_refused(
      rule, with_set([](event& door) -> task<> { co_await select(door.wait(), sleep(1h)); })));
  CHECK(ends_with(rule, "none;", []() -> task<> {
    event door;
    door.set();
    std::thread([&] { door.set(); }).join();
    co_return;
  }));
}

TEST_CASE("an event belongs to the scheduler that uses it first, and later to the next") {
  event door;  // used outside of run(), and on a thread other than the one that created it
  door.set();
  door.reset();
  for (int round = 0; round < 2; ++round) {
    std::thread([&] {
      const auto main = [&]() -> task<> {
        spawn([&]() -> task<> {
          door.set();
          co_return;
        });
        co_await door.wait();
        door.reset();
      };
      run(main());
    }).join();
  }
  door.set();
  CHECK(door.is_set());
}

TEST_CASE("using a queue on another thread aborts, even if no fiber waits at it") {
  const std::string_view rule = "a queue was used on a thread that is not its scheduler's";
  const auto with = [](const std::function<task<>(queue<int>&)>& misuse) {
    return [misuse]() -> task<> {
      queue<int> items;
      co_await items.push(1);
      on_other_scheduler([&] { return misuse(items); });
    };
  };
  CHECK(is_refused(rule, with([](queue<int>& items) -> task<> {
                     static_cast<void>(items.try_push(1));
                     co_return;
                   })));
  CHECK(is_refused(rule, with([](queue<int>& items) -> task<> {
                     static_cast<void>(items.try_pop());
                     co_return;
                   })));
  CHECK(is_refused(rule, with([](queue<int>& items) -> task<> {
                     static_cast<void>(items.peek());
                     co_return;
                   })));
  CHECK(is_refused(rule, with([](queue<int>& items) -> task<> {
                     items.close();
                     co_return;
                   })));
  CHECK(is_refused(rule, with([](queue<int>& items) -> task<> { co_await items.push(2); })));
}

TEST_CASE("naming, killing, watching and joining a fiber on another thread abort") {
  const auto with = [](const std::function<task<>(fiber<>&)>& misuse) {
    return [misuse]() -> task<> {
      fiber<> target = spawn(sleep_long);
      co_await yield();
      on_other_scheduler([&] { return misuse(target); });
    };
  };
  CHECK(is_refused("a fiber was named on a thread that is not its scheduler's",
                   with([](fiber<>& target) -> task<> {
                     target.set_name("x");
                     co_return;
                   })));
  CHECK(is_refused("the name of a live fiber was read on another thread",
                   with([](fiber<>& target) -> task<> {
                     static_cast<void>(target.name());
                     co_return;
                   })));
  CHECK(is_refused("a fiber was killed on a thread that is not its scheduler's",
                   with([](fiber<>& target) -> task<> {
                     target.request_kill();
                     co_return;
                   })));
  CHECK(is_refused("on_done() was called on a thread that is not the scheduler's",
                   with([](fiber<>& target) -> task<> {
                     target.on_done([] {});
                     co_return;
                   })));
  CHECK(is_refused("remove_callback() was called on a thread that is not the scheduler's",
                   with([](fiber<>& target) -> task<> {
                     target.remove_callback(callback_id{1});
                     co_return;
                   })));
  const std::string_view joined = "a fiber of another thread's scheduler cannot be joined";
  CHECK(is_refused(joined, with([](fiber<>& target) -> task<> { co_await target.join(); })));
  CHECK(is_refused(joined, with([](fiber<>& target) -> task<> { co_await joinall(target); })));
}

TEST_CASE("the name and the error of an ended fiber may be read on any thread") {
  fiber<> ended;
  const auto main = [&]() -> task<> {
    ended = spawn([]() -> task<> {
      throw std::runtime_error("on purpose");
      co_return;
    });
    ended.set_name("it");
    co_await ended.join();
  };
  run(main());
  // For ThreadSanitizer, too: copies of one handle, read at the same time.
  const auto ask = [copy = ended] {
    static_cast<void>(copy.error());
    static_cast<void>(copy.name());
  };
  std::thread one(ask), other(ask);
  one.join();
  other.join();
  CHECK(ended.name() == "it");
}

TEST_CASE("using a fiber_set or a pool on another thread aborts") {
  const std::string_view rule =
      "a fiber_set or pool was used on a thread that is not its scheduler's";
  const auto with = [](const std::function<task<>(fiber_set&)>& misuse) {
    return [misuse]() -> task<> {
      fiber_set members;
      members.spawn(sleep_long);
      on_other_scheduler([&] { return misuse(members); });
      co_return;
    };
  };
  CHECK(is_refused(rule, with([](fiber_set& members) -> task<> {
                     members.clear();
                     co_return;
                   })));
  CHECK(is_refused(rule, with([](fiber_set& members) -> task<> {
                     members.spawn(do_nothing);
                     co_return;
                   })));
  CHECK(is_refused(rule, with([](fiber_set& members) -> task<> { co_await members.kill(); })));
  CHECK(
      is_refused("a fiber of another thread's scheduler was added to a fiber_set", []() -> task<> {
        const auto added = spawn(sleep_long);
        on_other_scheduler([&]() -> task<> {
          fiber_set members;
          members.add(added);
          co_return;
        });
        co_return;
      }));
  CHECK(is_refused(rule, []() -> task<> {
    pool places(2);
    co_await places.spawn(do_nothing);
    on_other_scheduler([&]() -> task<> {
      static_cast<void>(places.try_spawn(do_nothing));
      co_return;
    });
  }));
  CHECK(is_refused(rule, []() -> task<> {
    pool places(2);
    co_await places.spawn(do_nothing);
    on_other_scheduler([&]() -> task<> { co_await places.spawn(do_nothing); });
  }));
  CHECK(is_refused(rule, []() -> task<> {
    pool places(2);
    co_await places.spawn(do_nothing);
    on_other_scheduler([&]() -> task<> {
      places.close();
      co_return;
    });
  }));
}

TEST_CASE("using a task_group on another thread aborts") {
  const auto with = [](const std::function<task<>(task_group&)>& misuse) {
    return [misuse]() -> task<> {
      auto body = [&](task_group& members) -> task<> {
        on_other_scheduler([&] { return misuse(members); });
        co_return;
      };
      co_await with_group(body);
    };
  };
  CHECK(is_refused("a group was cancelled on a thread that is not its scheduler's",
                   with([](task_group& members) -> task<> {
                     members.cancel();
                     co_return;
                   })));
  CHECK(is_refused("a fiber was spawned in a group of another thread's scheduler",
                   with([](task_group& members) -> task<> {
                     members.spawn(do_nothing);
                     co_return;
                   })));
}

TEST_CASE("extending, cancelling or querying a limit on another thread aborts") {
  const auto with = [](void (*misuse)(deadline_scope&)) {
    return [misuse]() -> task<> {
      auto body = [misuse](deadline_scope& limit) -> task<> {
        on_other_scheduler([&]() -> task<> {
          misuse(limit);
          co_return;
        });
        co_return;
      };
      co_await with_timeout(1h, body);
    };
  };
  CHECK(is_refused("a limit was extended on a thread that is not its fiber's",
                   with([](deadline_scope& limit) { limit.extend(1h); })));
  CHECK(is_refused("a limit was cancelled on a thread that is not its fiber's",
                   with([](deadline_scope& limit) { limit.cancel(); })));
  CHECK(is_refused("a limit was queried on a thread that is not its fiber's",
                   with([](deadline_scope& limit) { (void)limit.has_passed(); })));
}

TEST_CASE("using a greenlet on another thread aborts") {
  CHECK(is_refused("a greenlet was used on a thread that is not its fiber's", []() -> task<> {
    greenlet<void> line(do_nothing);
    on_other_scheduler([&]() -> task<> {
      const auto dropped = std::move(line);
      co_return;
    });
    co_return;
  }));
}

TEST_SUITE_END();
