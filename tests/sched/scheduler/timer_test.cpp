// The heap of deadlines: which timers are due, in which order, without allocation.
//
// Method: the test's timers note their names when they expire; the time is an argument. A random
// history is compared with the same history in a std::multimap.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/timer.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <deque>
#include <map>
#include <new>
#include <random>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

struct noted_timer : timer_entry {
  noted_timer(timer_queue& in, std::vector<int>& noted, int number)
      : timer_entry(in), queue(in), log(noted), name(number) {}
  ~noted_timer() {
    queue.disarm(*this);
    queue.give_place();
  }
  void arm(steady_ns deadline) noexcept { queue.arm(*this, deadline, &note); }
  static void note(timer_entry& due) noexcept {
    auto& self = static_cast<noted_timer&>(due);
    self.log.push_back(self.name);
    if (self.next != nullptr) self.next->arm(self.next_deadline);
    if (self.rival != nullptr) self.queue.disarm(*self.rival);
  }

  timer_queue& queue;
  std::vector<int>& log;
  int name;
  noted_timer* next = nullptr;  // armed when this one expires
  steady_ns next_deadline = 0;
  noted_timer* rival = nullptr;  // disarmed when this one expires
};

struct alarms {
  timer_queue queue;
  std::vector<int> log;
  noted_timer a{queue, log, 1}, b{queue, log, 2}, c{queue, log, 3};

  std::vector<int> expire(steady_ns now) {
    log.clear();
    queue.expire(now);
    return std::exchange(log, {});
  }
};

using names = std::vector<int>;

}  // namespace

TEST_SUITE_BEGIN("timer");

TEST_CASE("due timers expire, the earliest first, and the rest stay armed") {
  alarms timers;
  timers.a.arm(30);
  timers.b.arm(10);
  timers.c.arm(20);
  CHECK(timers.queue.next() == 10);

  CHECK(timers.expire(9).empty());
  CHECK(timers.expire(20) == names{2, 3});
  CHECK(timers.queue.next() == 30);
  CHECK(timers.a.armed());
  CHECK_FALSE(timers.b.armed());
  CHECK(timers.expire(never - 1) == names{1});
  CHECK(timers.queue.empty());
  CHECK(timers.queue.next() == never);
}

TEST_CASE("equal deadlines expire in the order of arming") {
  alarms timers;
  timers.c.arm(5);
  timers.a.arm(5);
  timers.b.arm(5);
  CHECK(timers.expire(5) == names{3, 1, 2});
}

TEST_CASE("arming a timer again moves it to its new deadline, behind equal ones") {
  alarms timers;
  timers.a.arm(5);
  timers.b.arm(5);
  timers.a.arm(5);
  timers.c.arm(1);
  timers.c.arm(6);
  CHECK(timers.queue.next() == 5);
  CHECK(timers.expire(6) == names{2, 1, 3});
}

TEST_CASE("a disarmed timer does not expire, and disarming twice changes nothing") {
  alarms timers;
  timers.a.arm(1);
  timers.b.arm(2);
  timers.queue.disarm(timers.a);
  timers.queue.disarm(timers.a);
  timers.queue.disarm(timers.c);
  CHECK_FALSE(timers.a.armed());
  CHECK(timers.expire(9) == names{2});
}

TEST_CASE("an expiring timer may disarm one that is due with it") {
  alarms timers;
  timers.a.rival = &timers.b;
  timers.a.arm(1);
  timers.b.arm(1);
  timers.c.arm(1);
  CHECK(timers.expire(1) == names{1, 3});
}

TEST_CASE("an expiring timer may arm others, itself included") {
  alarms timers;
  timers.a.next = &timers.a;
  timers.a.next_deadline = 9;
  timers.b.next = &timers.c;
  timers.b.next_deadline = 1;
  timers.a.arm(1);
  timers.b.arm(2);
  CHECK(timers.expire(2) == names{1, 2, 3});
  CHECK(timers.a.armed());
  CHECK(timers.queue.next() == 9);
}

TEST_CASE("a random history of arming and disarming expires as in a sorted list") {
  timer_queue queue;
  names log;
  std::deque<noted_timer> timers;
  for (int name = 0; name < 200; ++name) timers.emplace_back(queue, log, name);
  std::multimap<steady_ns, int> expected;  // keeps equal deadlines in the order of arming
  const auto forget = [&](int name) {
    std::erase_if(expected, [&](const auto& one) { return one.second == name; });
  };
  std::mt19937 random(20);
  steady_ns now = 0;
  for (int step = 0; step < 20'000; ++step) {
    const int name = static_cast<int>(random() % timers.size());
    noted_timer& timer_entry = timers[static_cast<std::size_t>(name)];
    if (const auto action = random() % 8; action < 5) {
      forget(name);
      const steady_ns deadline = now + static_cast<steady_ns>(random() % 50);
      expected.emplace(deadline, name);
      timer_entry.arm(deadline);
    } else if (action < 7) {
      forget(name);
      queue.disarm(timer_entry);
    } else {
      now += static_cast<steady_ns>(random() % 10);
      names due;
      while (!expected.empty() && expected.begin()->first <= now) {
        due.push_back(expected.begin()->second);
        expected.erase(expected.begin());
      }
      log.clear();
      queue.expire(now);
      REQUIRE(log == due);
    }
    REQUIRE(queue.next() == (expected.empty() ? never : expected.begin()->first));
  }
}

TEST_CASE("arming, disarming and expiring do not allocate, however many timers are armed") {
  timer_queue queue;
  names log;
  std::deque<noted_timer> timers;
  for (int name = 0; name < 1000; ++name) timers.emplace_back(queue, log, name);
  log.reserve(timers.size());

  const std::size_t before = allocations();
  for (noted_timer& timer_entry : timers) timer_entry.arm(1000 - timer_entry.name);
  for (noted_timer& timer_entry : timers) {
    if (timer_entry.name % 3 == 0) queue.disarm(timer_entry);
  }
  queue.expire(1000);
  CHECK(allocations() == before);
  CHECK(log.size() == 666);

  ::operator delete(::operator new(1));  // to check that the count works
  if (allocations_are_counted()) CHECK(allocations() == before + 1);
}

TEST_CASE("freed places of the heap are reused") {
  timer_queue queue;
  names log;
  { const noted_timer first(queue, log, 0); }
  const std::size_t before = allocations();
  for (int i = 0; i < 1000; ++i) const noted_timer next(queue, log, i);
  CHECK(allocations() == before);
}

TEST_CASE("destroying an armed timer aborts") {
  CHECK(aborts_with("a timer was destroyed while it was armed", [] {
    struct careless : timer_entry {
      explicit careless(timer_queue& queue) : timer_entry(queue) {}
    };
    timer_queue queue;
    careless timer_entry(queue);
    queue.arm(timer_entry, 1, [](ringlet::extend::timer_entry&) noexcept {});
  }));
}

TEST_SUITE_END();
