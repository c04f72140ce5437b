// concurrent_items and concurrent_flag: nothing is lost, doubled or stranded, and no wait is left,
// in any order of the steps of their threads.
//
// Method: the library's own code, on the modelled memory and mutex. That the programs notice an
// error is shown by a mutex and by memory orders that are too weak.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/concurrent_flag.hpp>
#include <ringlet/detail/concurrent_items.hpp>
#include <ringlet/detail/concurrent_waiter.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "model/explorer.hpp"
#include "model/memory.hpp"
#include "support/scale.hpp"

using namespace ringlet;
using namespace ringlet::model;

namespace {

// A thread that sleeps until it is served.
class sleeper : public ringlet::detail::concurrent_waiter {
 public:
  sleeper() : concurrent_waiter(how) {}
  void sleep() {
    fd_.wait("being served");
    // The mailbox does this in programs: the descriptor alone orders nothing.
    while (!told_.load(std::memory_order_acquire)) modelled::yield();
  }
  bool was_served() const { return where() == standing::served; }

 private:
  static void notify(concurrent_waiter& served) noexcept {
    auto& self = static_cast<sleeper&>(served);
    self.told_.store(true, std::memory_order_release);
    self.fd_.notify();
  }
  static bool is_left_behind(const concurrent_waiter&) noexcept { return false; }
  static constexpr kind how = {&sleeper::notify, &sleeper::is_left_behind};

  atomic<bool> told_ = false;
  wakeup fd_;
};

struct with_weak_mutex : modelled {
  using mutex = weak_mutex;
};

// A queue with one place, and what plain threads do with it.
template <class Threads>
struct queue_of_one {
  using items = ringlet::detail::concurrent_items<int, Threads>;
  using answer = typename items::answer;
  items shared{1};
  int popped = 0;

  bool push(int item) {
    sleeper mine;
    std::size_t count = 1;
    const answer first = shared.push(&item, count, &mine);
    if (first != answer::wait) return first == answer::done;
    mine.sleep();
    return mine.was_served() && shared.push_served(&item, 1) == 1;
  }
  void consume() {
    for (;;) {
      int item = 0;
      sleeper mine;
      std::size_t count = 1;
      const auto take = [&](int& taken) { item = taken; };
      const answer first = shared.pop(take, count, &mine);
      if (first == answer::closed) return;
      if (first == answer::wait) {
        mine.sleep();
        if (!mine.was_served()) return;
        shared.pop_served(take, 1);
      }
      expect(item == ++popped, "each item is popped once, in order");
    }
  }
  void check_ended(int pushed) {
    expect(popped == pushed, "no item is stranded");
    expect(shared.size() == 0, "the queue is empty");
    expect(shared.waiting_to_pop() + shared.waiting_to_push() == 0, "no wait is left");
  }
};

// A producer pushes two items and closes. One consumer takes all; the other is a select() of which
// another wait wins: it gives back what it was served with.
template <class Threads>
struct queue_program : queue_of_one<Threads> {
  using typename queue_of_one<Threads>::answer;
  using queue_of_one<Threads>::shared;
  using queue_of_one<Threads>::popped;
  using queue_of_one<Threads>::push;
  static constexpr int threads = 3;

  void produce() {
    expect(push(1), "the queue is open");
    expect(push(2), "the queue is still open");
    shared.close();
    int late = 3;
    std::size_t count = 1;
    expect(shared.push(&late, count, nullptr) == answer::closed, "a closed queue takes nothing");
  }
  void give_up() {
    sleeper mine;
    std::size_t count = 1;
    int item = 0;
    const answer first = shared.pop([&](int& taken) { item = taken; }, count, nullptr);
    if (first == answer::done) {
      expect(item == ++popped, "each item is popped once, in order");
      return;
    }
    if (first == answer::closed) return;
    if (shared.pop([&](int& taken) { item = taken; }, count, &mine) != answer::wait) {
      if (item != 0) expect(item == ++popped, "each item is popped once, in order");
      return;
    }
    if (shared.leave_pop(mine)) return;
    if (mine.was_served()) shared.give_item_back();
    mine.sleep();
  }
  void run(int thread) {
    if (thread == 0) produce();
    if (thread == 1) this->consume();
    if (thread == 2) give_up();
  }
  void finish() { this->check_ended(2); }
};

// Two consumers wait until the queue is closed, which may be while one of them has been served.
struct queue_closed_for_two : queue_of_one<modelled> {
  static constexpr int threads = 3;

  void run(int thread) {
    if (thread != 0) return consume();
    expect(push(1), "the queue is open");
    shared.close();
  }
  void finish() { check_ended(1); }
};

// The consumer closes the queue, which may be while the producer has been served with a place.
struct queue_closed_by_consumer : queue_of_one<modelled> {
  static constexpr int threads = 2;
  int pushed = 0;

  void run(int thread) {
    if (thread == 0) {
      while (pushed != 3 && push(pushed + 1)) ++pushed;
      return;
    }
    int item = 0;
    std::size_t count = 1;
    const auto take = [&](int& taken) { item = taken; };
    if (shared.pop(take, count, nullptr) == answer::done) expect(item == ++popped, "in order");
    shared.close();
    consume();
  }
  void finish() { check_ended(pushed); }
};

// One thread sets the flag. One waits for it and destroys it then; one looks without waiting.
template <class Threads>
struct flag_program {
  static constexpr int threads = 2;
  std::optional<ringlet::detail::basic_concurrent_flag<Threads>> flag{std::in_place};
  variable<int> data = 0;

  void run(int thread) {
    if (thread == 0) {
      data = 7;
      flag->set();
      return;
    }
    sleeper mine;
    if (flag->is_set()) expect(data == 7, "what was done before set() is visible");
    if (!flag->join(mine)) mine.sleep();
    expect(data == 7, "what was done before set() is visible");
    flag.reset();
  }
  void finish() {}
};

// One gives up waiting while another thread sets the flag.
struct flag_left {
  static constexpr int threads = 2;
  ringlet::detail::basic_concurrent_flag<modelled> flag;

  void run(int thread) {
    if (thread == 0) return flag.set();
    sleeper mine;
    if (flag.join(mine) || flag.leave(mine)) return;
    mine.sleep();
  }
  void finish() { expect(flag.waiting() == 0, "no wait is left"); }
};

template <class World>
void check_holds(const std::string& name) {
  bounds limits;
  // By hand, because it takes minutes.
  if (test::test_scale() > 1) limits.preemptions = limits.stale = 3;
  const verdict found = explore<World>(limits);
  CHECK_MESSAGE(found.failure.empty(), found.failure, "\n", found.trace);
  CHECK(found.is_complete);
  MESSAGE(name << ": " << found.executions << " executions");
}

}  // namespace

TEST_SUITE_BEGIN("concurrent model");

TEST_CASE("a queue loses, doubles and strands nothing, although a wait gives its item back") {
  check_holds<queue_program<modelled>>("two consumers");
  check_holds<queue_closed_for_two>("closed for two consumers");
  check_holds<queue_closed_by_consumer>("closed by the consumer");
}

TEST_CASE("a flag wakes those that wait, which may then destroy it") {
  known_sites().clear();
  check_holds<flag_program<modelled>>("set and wait");
  check_holds<flag_left>("set and leave");
}

TEST_CASE("the orders of the flag and of the mutexes are needed") {
  for (const auto& [place, where] : std::map(known_sites())) {
    if (!place.starts_with("concurrent_flag.hpp")) continue;
    for (const mutation& changed : weakenings_of(where)) {
      const std::string failure = explore<flag_program<modelled>>({}, &changed).failure;
      MESSAGE(changed.text() << ": " << failure);
      CHECK_MESSAGE(!failure.empty(), changed.text());
    }
  }
  const std::string queue = explore<queue_program<with_weak_mutex>>().failure;
  MESSAGE("a queue with a weak mutex: " << queue);
  CHECK(!queue.empty());
  const std::string flag = explore<flag_program<with_weak_mutex>>().failure;
  MESSAGE("a flag with a weak mutex: " << flag);
  CHECK(!flag.empty());
}

TEST_SUITE_END();
