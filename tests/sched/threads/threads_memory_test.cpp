// Calls between threads that find no memory: std::bad_alloc reaches the caller, and nothing is left
// half made.
//
// Method: each call is made with its first allocation failing, then with the second, and so on
// until one has none that fails. This is done for the allocations of the calling thread, and for
// those of the scheduler that is called. The test program itself finds what a case leaves behind.
// SPDX-License-Identifier: MIT
#include <ringlet/concurrent_event.hpp>
#include <ringlet/concurrent_queue.hpp>
#include <ringlet/concurrent_semaphore.hpp>
#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/per_scheduler.hpp>
#include <ringlet/remote_promise.hpp>
#include <ringlet/run.hpp>
#include <ringlet/run_on.hpp>
#include <ringlet/runtime.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "support/allocations.hpp"
#include "support/child.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

const std::string long_text = "a text that is too long to be stored without an allocation";

// Returns how many calls have failed before the one that succeeded.
int fail_one_after_the_other(const std::function<void()>& call) {
  for (int number = 0;; ++number) {
    detail::frames.hand_over();  // or the pool would not have to allocate
    bool has_thrown = false;
    bool has_failed = false;
    {
      const failing_allocation one(number);
      try {
        call();
      } catch (const std::bad_alloc&) {
        has_thrown = true;
      }
      has_failed = one.has_failed();
    }
    REQUIRE(has_thrown == has_failed);
    if (!has_failed) return number;
  }
}

// While it exists, the allocation with that number fails on the thread of the scheduler.
class failing_there {
 public:
  failing_there(const scheduler_handle& there, int number) : there_(there) {
    there_.call([&] {
      detail::frames.hand_over();
      failing_.emplace(number);
    });
  }
  failing_there(const failing_there&) = delete;
  failing_there& operator=(const failing_there&) = delete;
  ~failing_there() {
    there_.call([&] { failing_.reset(); });
  }
  bool has_failed() {
    return there_.call([&] { return failing_->has_failed(); });
  }

 private:
  const scheduler_handle& there_;
  std::optional<failing_allocation> failing_;
};

// The same for the allocations of that scheduler.
int fail_one_after_the_other(const scheduler_handle& there, const std::function<void()>& call) {
  for (int number = 0;; ++number) {
    bool has_thrown = false;
    failing_there one(there, number);
    try {
      call();
    } catch (const std::bad_alloc&) {
      has_thrown = true;
    }
    const bool has_failed = one.has_failed();
    REQUIRE(has_thrown == has_failed);
    if (!has_failed) return number;
  }
}

// For calls that a fiber of scheduler 0 awaits: for its own allocations, then for those of
// scheduler 1. Returns how many calls have failed.
struct failures {
  int here = 0;
  int there = 0;
};
task<failures> fail_awaited_calls(std::function<task<>()> make_call) {
  failures counts;
  for (const std::size_t k : {0U, 1U}) {
    for (int number = 0;; ++number) {
      std::optional<failing_allocation> one;
      bool has_thrown = false;
      bool has_failed = false;
      const auto begin = [&] {
        detail::frames.hand_over();
        one.emplace(number);
      };
      const auto end = [&] {
        has_failed = one->has_failed();
        one.reset();
      };
      if (k == 0) begin();
      if (k == 1) co_await run_on(1, begin);
      try {
        co_await make_call();
      } catch (const std::bad_alloc&) {
        has_thrown = true;
      }
      if (k == 0) end();
      if (k == 1) co_await run_on(1, end);
      CHECK(has_thrown == has_failed);
      if (!has_failed) break;
      ++(k == 0 ? counts.here : counts.there);
    }
  }
  co_return counts;
}

// Runs `body` as the main task of the first of two schedulers.
void on_first_of_two(const std::function<task<>()>& body) {
  const auto main = [&](std::size_t k) -> task<> {
    if (k == 0) co_await body();
  };
  runtime all(main, {.threads = 2});
  all.join();
}

// A body of a fiber that tells how often it has begun, and how many copies of it there are.
auto note_in(const std::shared_ptr<std::atomic<int>>& begun) {
  return [begun]() -> task<std::string> {
    ++*begun;
    co_return long_text;
  };
}

// A handler that is copied on the thread of each scheduler before that makes anything. From then on
// the allocation with that number fails there.
struct fail_when_copied {
  explicit fail_when_copied(int which) : number(which), home(std::this_thread::get_id()) {}
  fail_when_copied(const fail_when_copied& other) : number(other.number), home(other.home) {
    if (std::this_thread::get_id() == home) return;
    detail::frames.hand_over();
    thread_local std::optional<failing_allocation> failing;
    failing.emplace(number);
  }
  fail_when_copied& operator=(const fail_when_copied&) = delete;
  void operator()(const unhandled_error&) const {}
  int number;
  std::thread::id home;
};

}  // namespace

TEST_SUITE_BEGIN("threads without memory");

TEST_CASE("a runtime that finds no memory on the calling thread throws, and leaves no thread") {
  if (!allocations_are_counted()) return;
  const auto make = [] {
    runtime without_mains({.threads = 3, .name = long_text});
    CHECK(without_mains.size() == 3);
  };
  CHECK(fail_one_after_the_other(make) >= 3 + 3);
  std::atomic<int> mains = 0;
  const auto make_with_mains = [&] {
    const auto main = [&]() -> task<> {
      ++mains;
      co_return;
    };
    runtime all(main, {.threads = 3, .name = long_text});
    all.join();
  };
  CHECK(fail_one_after_the_other(make_with_mains) >= 3 + 3);
  CHECK(mains == 3);
}

TEST_CASE("a runtime throws if one of its threads finds no memory to make its scheduler") {
  if (!allocations_are_counted()) return;
  int thrown = 0;
  bool has_thrown = true;
  // An engine can do without some of what it allocates.
  for (int number = 0; has_thrown || number < 40; ++number) {
    has_thrown = false;
    options each;
    each.on_unhandled_error = fail_when_copied(number);
    try {
      runtime all({.threads = 2, .each = each});
    } catch (const std::bad_alloc&) {
      has_thrown = true;
      ++thrown;
    }
  }
  CHECK(thrown > 3);
}

TEST_CASE("run_main_on_all that finds no memory reports it, and does not hang") {
  if (!allocations_are_counted()) return;
  const child_end end = run_in_child([] {
    int number = 0;
    int reported = 0;  // an engine can do without some of what it allocates
    for (bool has_failed = true; has_failed; ++number) {
      int code = 0;
      {
        runtime_options settings{.threads = 3, .name = long_text};
        detail::frames.hand_over();
        const failing_allocation one(number);
        const auto main = []() -> task<> { co_return; };
        code = run_main_on_all(main, std::move(settings));
        has_failed = one.has_failed();
      }
      if (code == 1 && has_failed) ++reported;
      if (code != 0 && !(code == 1 && has_failed)) ::_exit(2);
    }
    ::_exit(reported > 3 + 3 ? 0 : 3);
  });
  CHECK_MESSAGE(end.status == 0, end.errors);
  CHECK(end.errors.find("(std::bad_alloc)\n") != std::string::npos);
}

TEST_CASE("a post that finds no memory throws, and does not keep a place in the mailbox") {
  if (!allocations_are_counted()) return;
  runtime workers({.threads = 1, .each = {.posts_max = 1}});
  const scheduler_handle there = workers.handle(0);
  const auto calls = std::make_shared<std::atomic<int>>(0);
  const auto post = [&] {
    const post_result posted = there.post([calls] { ++*calls; });
    CHECK(posted == post_result::accepted);
  };
  CHECK(fail_one_after_the_other(post) == 1);
  there.call([] {});
  CHECK(*calls == 1);
  CHECK(calls.use_count() == 1);
}

TEST_CASE("a spawn that finds no memory throws, and keeps neither a place nor a fiber") {
  if (!allocations_are_counted()) return;
  runtime workers({.threads = 1, .each = {.posts_max = 1}});
  const scheduler_handle there = workers.handle(0);
  const auto begun = std::make_shared<std::atomic<int>>(0);
  remote_fiber<std::string> made;
  CHECK(fail_one_after_the_other([&] { made = there.spawn(note_in(begun)); }) == 1);
  CHECK(made.get_blocking() == long_text);
  made = {};
  CHECK(*begun == 1);
  there.call([] {});
  CHECK(begun.use_count() == 1);
}

TEST_CASE("a fiber whose scheduler finds no memory for it fails with std::bad_alloc") {
  if (!allocations_are_counted()) return;
  runtime workers({.threads = 1});
  const scheduler_handle there = workers.handle(0);
  const auto begun = std::make_shared<std::atomic<int>>(0);
  const auto spawn_and_get = [&] { there.spawn(note_in(begun)).get_blocking(); };
  CHECK(fail_one_after_the_other(there, spawn_and_get) >= 3);  // fiber, frames, text
  CHECK(*begun >= 1);
  there.call([] {});
  CHECK(begun.use_count() == 1);
}

TEST_CASE("a call that finds no memory on either thread throws") {
  if (!allocations_are_counted()) return;
  runtime workers({.threads = 1});
  const scheduler_handle there = workers.handle(0);
  const auto begun = std::make_shared<std::atomic<int>>(0);
  CHECK(fail_one_after_the_other([&] { there.call([] {}); }) == 0);
  CHECK(fail_one_after_the_other(there, [&] { there.call(note_in(begun)); }) >= 3);
  const auto make_text = [] { return long_text; };
  CHECK(fail_one_after_the_other(there, [&] { there.call(make_text); }) == 1);
  there.call([] {});
  CHECK(begun.use_count() == 1);
}

TEST_CASE("call_on_all that finds no memory has ended the calls that had begun when it throws") {
  if (!allocations_are_counted()) return;
  runtime workers({.threads = 3});
  const auto begun = std::make_shared<std::atomic<int>>(0);
  const auto call_all = [&] {
    const auto note = [begun](std::size_t) -> task<> {
      co_await yield();
      ++*begun;
    };
    workers.call_on_all(note);
  };
  CHECK(fail_one_after_the_other(call_all) >= 3);
  const scheduler_handle there = workers.handle(1);
  CHECK(fail_one_after_the_other(there, call_all) >= 2);
  for (std::size_t k = 0; k < 3; ++k) workers.call(k, [] {});
  CHECK(begun.use_count() == 1);
}

TEST_CASE("a dump of a runtime that finds no memory throws") {
  if (!allocations_are_counted()) return;
  runtime workers({.threads = 2, .name = long_text});
  const auto look = [&] { static_cast<void>(workers.dump()); };
  CHECK(fail_one_after_the_other(look) >= 1);
  CHECK(workers.dump().find("scheduler " + long_text + "/1") != std::string::npos);
}

TEST_CASE("run_on that finds no memory on either scheduler throws, and keeps nothing") {
  if (!allocations_are_counted()) return;
  const auto begun = std::make_shared<std::atomic<int>>(0);
  failures counts;
  failures plain;
  on_first_of_two([&]() -> task<> {
    const auto note = note_in(begun);
    const auto call = [&]() -> task<> { co_await run_on(1, note); };
    counts = co_await fail_awaited_calls(call);
    const auto make_text = [] { return long_text; };
    const auto call_plain = [&]() -> task<> { co_await run_on(1, make_text); };
    plain = co_await fail_awaited_calls(call_plain);
  });
  CHECK(counts.here >= 1);
  CHECK(counts.there >= 3);
  CHECK(plain.here >= 1);
  CHECK(plain.there == 1);
  CHECK(begun.use_count() == 1);
}

TEST_CASE("run_on_all that finds no memory on a scheduler throws when all calls have ended") {
  if (!allocations_are_counted()) return;
  const auto begun = std::make_shared<std::atomic<int>>(0);
  failures counts;
  on_first_of_two([&]() -> task<> {
    const auto note = [&begun](std::size_t) -> task<> {
      co_await yield();
      ++*begun;
    };
    const auto call = [&]() -> task<> { co_await run_on_all(note); };
    counts = co_await fail_awaited_calls(call);
  });
  CHECK(counts.here >= 4);  // the frame of the call, one block for the calls, fiber and frame
  CHECK(counts.there >= 2);
  CHECK(begun.use_count() == 1);
}

TEST_CASE("per_scheduler that finds no memory on a scheduler throws, and destroys all values") {
  if (!allocations_are_counted()) return;
  const auto value = std::make_shared<int>(5);
  failures counts;
  failures calls;
  std::atomic<int> sum = 0;
  on_first_of_two([&]() -> task<> {
    const auto nothing = [] {};
    const auto make = [&]() -> task<> {
      const auto made = co_await per_scheduler<std::shared_ptr<int>>::make(value);
      sum += *made.local();
    };
    counts = co_await fail_awaited_calls(make);
    co_await run_on_all(nothing);  // the values are destroyed when it returns
    CHECK(value.use_count() == 1);
    const auto made = co_await per_scheduler<std::string>::make(long_text);
    const auto copy_of = [](std::string& its) { return its; };
    const auto ask = [&]() -> task<> {
      const std::string got = co_await made.on(1, copy_of);
      if (got == long_text) ++sum;
    };
    calls = co_await fail_awaited_calls(ask);
  });
  CHECK(counts.here >= 4);
  CHECK(counts.there >= 1);
  CHECK(calls.there >= 1);
  CHECK(sum >= 5 + 1);
}

TEST_CASE("a concurrent_queue allocates when it is made, and a failed copy of an item leaves it") {
  if (!allocations_are_counted()) return;
  std::optional<concurrent_queue<std::string>> made;
  CHECK(fail_one_after_the_other([&] { made.emplace(8); }) == 1);
  CHECK(fail_one_after_the_other([&] { made->push_blocking(long_text); }) == 1);
  CHECK(made->size() == 1);
  CHECK(fail_one_after_the_other([&] { static_cast<void>(made->try_push(long_text)); }) == 1);
  CHECK(made->size() == 2);
  CHECK(fail_one_after_the_other([&] { made->pop_blocking(); }) == 0);
  CHECK(fail_one_after_the_other([&] { made->try_pop(); }) == 0);
  failures pushes;
  failures pops;
  failures generated;
  on_first_of_two([&]() -> task<> {
    const auto push = [&]() -> task<> { co_await made->push(long_text); };
    pushes = co_await fail_awaited_calls(push);
    CHECK(made->size() == 2);  // one for each scheduler whose allocations failed
    const auto pop = [&]() -> task<> { co_await made->pop(); };
    pops = co_await fail_awaited_calls(pop);
    CHECK(made->size() == 0);
    for (int i = 0; i < 2; ++i) static_cast<void>(made->try_push(long_text));
    const auto next = [&]() -> task<> {
      auto all = made->items();
      const auto item = co_await all.next();
      CHECK(*item == long_text);
    };
    generated = co_await fail_awaited_calls(next);
  });
  CHECK(pushes.here >= 2);  // the frame of the call, and the copy
  CHECK(pops.here >= 1);
  CHECK(generated.here >= 2);
  CHECK(made->size() == 0);
}

TEST_CASE("concurrent_semaphore and concurrent_event need no memory") {
  if (!allocations_are_counted()) return;
  const auto use = [] {
    concurrent_semaphore permits(2);
    const auto one = permits.acquire_blocking();
    const auto other = permits.try_acquire();
    permits.release();
    concurrent_event happened;
    happened.set();
    happened.wait_blocking();
  };
  CHECK(fail_one_after_the_other(use) == 0);
  failures waits;
  concurrent_semaphore permits(0);
  concurrent_event happened;
  on_first_of_two([&]() -> task<> {
    const auto wait = [&]() -> task<> {
      happened.set();
      co_await happened.wait();
      permits.release();
      const auto permit = co_await permits.acquire();
    };
    waits = co_await fail_awaited_calls(wait);
  });
  CHECK(waits.here == 1);  // the frame
  CHECK(waits.there == 0);
}

TEST_CASE("a remote_promise allocates when it is made, and is unset after a failed copy") {
  if (!allocations_are_counted()) return;
  std::optional<remote_promise<std::string>> made;
  CHECK(fail_one_after_the_other([&] { made.emplace(); }) == 1);
  remote_future<std::string> future;
  CHECK(fail_one_after_the_other([&] { future = made->get_future(); }) == 0);
  int tries = 0;
  const auto set = [&] {
    CHECK_FALSE(made->is_set());
    ++tries;
    made->set_value(long_text);
  };
  CHECK(fail_one_after_the_other(set) == 1);
  CHECK(tries == 2);
  CHECK(future.get_blocking() == long_text);
}

TEST_SUITE_END();
