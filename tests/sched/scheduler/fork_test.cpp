// fork(): what a child of a process with schedulers can do, and what it cannot do by accident.
//
// Method: a child reports by its exit status and standard error. Where a fiber of the parent has to
// wait in the child, the coroutine itself calls fork().
// SPDX-License-Identifier: MIT
#include <ringlet/blocking.hpp>
#include <ringlet/broadcast.hpp>
#include <ringlet/event.hpp>
#include <ringlet/greenlet.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/watch.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "support/child.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view fork_rule =
    "in a child of fork() the parent's scheduler, streams and fibers cannot be used";

bool was_refused(const child_end& end) {
  if (end.signal == SIGABRT && end.errors.find(fork_rule) != std::string::npos) return true;
  describe_unexpected(end, fork_rule);
  return false;
}

task<int> answer_of_a_worker() {
  auto call = [] { return 5; };
  co_return co_await blocking(call);
}

task<int> five() {
  co_await sleep(1us);
  co_return 5;
}

// Forks in a fiber; the child calls `in_child` and continues to its next wait.
child_end fork_in_a_fiber(const std::function<task<>()>& in_child) {
  child_end end;
  const auto main = [&]() -> task<> {
    const auto sleeper = spawn([]() -> task<> { co_await sleep(1h); });
    co_await yield();
    forked_child child;
    if (child.is_here()) {
      co_await in_child();
      ::_exit(0);
    }
    end = child.wait();
    CHECK(co_await answer_of_a_worker() == 5);  // the parent is not affected
    sleeper.request_kill();
  };
  run(main());
  return end;
}

}  // namespace

TEST_SUITE_BEGIN("fork");

// Under ThreadSanitizer a child of a process with threads cannot start any.
TEST_CASE("the child of a process that made blocking calls can make its own" *
          doctest::skip(sanitized)) {
  CHECK(run(answer_of_a_worker()) == 5);
  const child_end end = run_in_child([] { ::_exit(run(answer_of_a_worker())); });
  CHECK(end.status == 5);
}

TEST_CASE("the child of a process that made blocking calls can exit") {
  CHECK(run(answer_of_a_worker()) == 5);
  const child_end end = run_in_child([] { std::exit(7); });
  CHECK(end.status == 7);
}

TEST_CASE("a child that was forked in a fiber can exit") {
  const child_end end = fork_in_a_fiber([]() -> task<> {
    std::exit(7);
    co_return;
  });
  CHECK(end.status == 7);
  if (!sanitized) CHECK(end.errors.empty());  // LeakSanitizer reports threads that did not exist
}

// row: HB-14
TEST_CASE("a child that was forked in a fiber can run its own scheduler") {
  const child_end end = fork_in_a_fiber([]() -> task<> {
    ::_exit(run(five()));
    co_return;
  });
  CHECK(end.status == 5);
}

TEST_CASE("a child of a child can run its own scheduler" * doctest::skip(sanitized)) {
  const child_end end = fork_in_a_fiber([]() -> task<> {
    const child_end inner = fork_in_a_fiber([]() -> task<> {
      ::_exit(run(five()));
      co_return;
    });
    ::_exit(inner.status);
  });
  CHECK(end.status == 5);
}

TEST_CASE("a fiber that waits in the child aborts the child") {
  event never_set;
  CHECK(was_refused(fork_in_a_fiber([]() -> task<> { co_await yield(); })));
  CHECK(was_refused(fork_in_a_fiber([]() -> task<> { co_await sleep(1h); })));
  CHECK(was_refused(fork_in_a_fiber([]() -> task<> { co_await answer_of_a_worker(); })));
  CHECK(was_refused(fork_in_a_fiber([&]() -> task<> { co_await never_set.wait(); })));
}

TEST_CASE("spawning and posting in the child abort the child") {
  CHECK(was_refused(fork_in_a_fiber([]() -> task<> {
    spawn(five());
    co_return;
  })));
  std::optional<scheduler_handle> here;
  const auto main = [&]() -> task<> {
    here.emplace();
    CHECK(was_refused(run_in_child([&] { static_cast<void>(here->post([] {})); })));
    // Copying and dropping handles is not a use of the scheduler.
    const child_end end = run_in_child([&] {
      const scheduler_handle copy = *here;
      here.reset();
    });
    CHECK(end.status == 0);
    here.reset();
    co_return;
  };
  run(main());
}

TEST_CASE("a fiber that returns in the child aborts the child, and no other fiber runs there") {
  bool ran = false;
  const auto main = [&]() -> task<> {
    std::optional<forked_child> child;
    const auto forker = spawn([&]() -> task<> {
      child.emplace();
      co_return;
    });
    const auto next = spawn([&]() -> task<> {
      if (child->is_here()) std::fprintf(stderr, "the next fiber ran");
      ran = true;
      co_return;
    });
    co_await next.join();
    const child_end end = child->wait();
    CHECK(was_refused(end));
    CHECK(end.errors.find("the next fiber ran") == std::string::npos);
  };
  run(main());
  CHECK(ran);
}

TEST_CASE("a child that was forked between fibers aborts before it resumes a fiber") {
  std::optional<forked_child> child;
  const auto main = [&]() -> task<> {
    const auto ended = spawn([]() -> task<> { co_return; });
    ended.on_done([&] { child.emplace(); });
    while (!child) co_await yield();  // ready, when it is resumed in the child
    if (child->is_here()) std::fprintf(stderr, "a fiber ran");
  };
  run(main());
  const child_end end = child->wait();
  CHECK(was_refused(end));
  CHECK(end.errors.find("a fiber ran") == std::string::npos);
}

TEST_CASE("a child that was forked in posted work aborts before more of it runs") {
  std::optional<forked_child> child;
  const auto main = [&]() -> task<> {
    const scheduler_handle here;
    static_cast<void>(here.post([&] { child.emplace(); }));
    static_cast<void>(here.post([&] {
      if (child->is_here()) std::fprintf(stderr, "more work ran");
    }));
    while (!child) co_await yield();
  };
  run(main());
  const child_end end = child->wait();
  CHECK(was_refused(end));
  CHECK(end.errors.find("more work ran") == std::string::npos);
}

TEST_CASE("waking a fiber of the parent in the child aborts the child") {
  const auto main = []() -> task<> {
    event door;
    const auto waiter = spawn([&]() -> task<> { co_await door.wait(); });
    co_await yield();
    CHECK(was_refused(run_in_child([&] { door.set(); })));
    CHECK(was_refused(run_in_child([&] { waiter.request_kill(); })));
    door.set();
    co_await waiter.join();
  };
  run(main());
}

TEST_CASE("objects of the parent are destroyed silently in the child, as exit() does") {
  const auto main = []() -> task<> {
    auto door = std::make_unique<event>();
    auto items = std::make_unique<queue<int>>();
    std::optional<greenlet<void>> line(std::in_place, []() -> task<> { co_return; });
    const auto at_door = spawn([&]() -> task<> { co_await door->wait(); });
    const auto at_queue = spawn([&]() -> task<> { co_await items->pop(); });
    co_await yield();
    const child_end end = run_in_child([&] {
      door.reset();
      items.reset();
      line.reset();
    });
    CHECK(end.status == 0);
    INFO(end.errors);
    CHECK(end.errors.empty());
    door->set();
    CHECK(items->try_push(1));
    co_await at_door.join();
    co_await at_queue.join();
  };
  run(main());
}

TEST_CASE("subscribers and what they wait for are destroyed silently in the child, in any order") {
  const auto main = []() -> task<> {
    std::optional<watch<int>> level(std::in_place, 1);
    std::optional<broadcast<int>> items(std::in_place, 1u, lag_policy::wait);
    std::optional<watch<int>::subscriber> changes(level->subscribe());
    std::optional<broadcast<int>::subscriber> slow(items->subscribe()), idle(items->subscribe());
    (void)changes->latest();
    CHECK(items->try_send(1));
    CHECK(idle->try_receive() == 1);
    const auto at_level = spawn([&]() -> task<> { co_await changes->changed(); });
    const auto at_items = spawn([&]() -> task<> { co_await idle->receive(); });
    const auto sender = spawn([&]() -> task<> { co_await items->send(2); });
    co_await yield();
    for (const bool subscribers_first : {false, true}) {
      const child_end end = run_in_child([&] {
        if (subscribers_first) {
          slow.reset();
          idle.reset();
          changes.reset();
        }
        level.reset();
        items.reset();
        slow.reset();
        idle.reset();
        changes.reset();
      });
      INFO(end.errors);
      CHECK(end.status == 0);
      CHECK(end.errors.empty());
    }
    level->set(2);
    CHECK(slow->try_receive() == 1);
    co_await sender.join();
    co_await at_items.join();
    co_await at_level.join();
  };
  run(main());
}

TEST_CASE("an event that belonged to the parent may be used by a scheduler of the child") {
  event door;
  const auto main = [&]() -> task<> {
    door.set();
    const child_end end = run_in_child([&] {
      const auto in_child = [&]() -> task<int> {
        door.reset();
        spawn([&]() -> task<> {
          door.set();
          co_return;
        });
        co_await door.wait();
        co_return 5;
      };
      ::_exit(run(in_child()));
    });
    CHECK(end.status == 5);
    co_return;
  };
  run(main());
}

TEST_CASE("the signals of run_main have their previous actions in a child") {
  child_end end;
  const auto main = [&]() -> task<> {
    end = run_in_child([] {
      ::raise(SIGTERM);
      std::fprintf(stderr, "still there");
    });
    co_return;
  };
  struct sigaction standard = {}, before = {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGTERM, &standard, &before);
  CHECK(run_main(main()) == 0);
  ::sigaction(SIGTERM, &before, nullptr);
  CHECK(end.signal == SIGTERM);
  INFO(end.errors);
  CHECK(end.errors.empty());
}

TEST_SUITE_END();
