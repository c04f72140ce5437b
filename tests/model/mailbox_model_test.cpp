// mailbox: no post and no wake-up is lost, in any order of the steps of its threads.
//
// Method: the library's own code, on the modelled memory, with two preemptions and two stale
// choices (three, if RINGLET_TEST_SCALE is more than 1). The owner sleeps as engines do. Then each
// memory order is weakened and each read-modify-write is split, one at a time, and some program
// must fail.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/mailbox.hpp>

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <string>

#include "model/explorer.hpp"
#include "model/memory.hpp"
#include "support/scale.hpp"

using namespace ringlet;
using namespace ringlet::model;

namespace {

struct node {
  variable<node*> next = nullptr;
  variable<int> value = 0;
};

// An engine: what it has posted to it, and the descriptor that it sleeps on.
struct owned_mailbox {
  ringlet::detail::mailbox<node, modelled> box;
  wakeup fd;
  variable<bool> exists = true;
  int sleeps = 0;

  void post(node& added) {
    box.post(added, [this] { notify(); });
  }
  void wake() {
    box.wake([this] { notify(); });
  }
  void notify() {
    expect(exists, "notify() is not called once the mailbox is gone");
    fd.notify();
    expect(fd.count() <= sleeps, "notify() is called at most once for each announced sleep");
  }

  // False if there was something to do instead.
  bool sleep() {
    ++sleeps;
    if (!box.announce_sleep()) return false;
    fd.wait("a notification, asleep");
    box.announce_awake();
    return true;
  }
  // The sum of what is left in the mailbox.
  int run_posted() {
    int sum = 0;
    if (!box.has_posted()) return 0;
    for (node* each = box.take(); each != nullptr;) {
      node* const after = each->next;
      sum += each->value;
      each->value = -1;
      each = after;
    }
    return sum;
  }
  void destroy() {
    box.wait_for_posters();
    exists = false;
  }
};

// Two threads post, one of them twice, and the owner sleeps until all has come.
struct posts {
  static constexpr int threads = 3;
  owned_mailbox owner;
  std::array<node, 3> nodes;
  int sum = 0;

  void send(int index) {
    node& mine = nodes[static_cast<std::size_t>(index)];
    mine.value = 1 << index;
    owner.post(mine);
  }
  void run(int thread) {
    if (thread == 1) send(0);
    if (thread == 2) {
      send(1);
      send(2);
    }
    if (thread != 0) return;
    while (sum != 7) {
      owner.sleep();
      sum += owner.run_posted();
    }
    owner.destroy();
  }
  void finish() { expect(sum == 7, "each node is taken once"); }
};

// One thread posts in order, and the owner takes in that order.
struct order_of_posts {
  static constexpr int threads = 2;
  owned_mailbox owner;
  std::array<node, 3> nodes;

  void run(int thread) {
    if (thread == 1) {
      for (int i = 0; i < 3; ++i) {
        nodes[static_cast<std::size_t>(i)].value = i;
        owner.post(nodes[static_cast<std::size_t>(i)]);
      }
      return;
    }
    for (int next = 0; next != 3;) {
      owner.sleep();
      for (node* each = owner.box.take(); each != nullptr;) {
        node* const after = each->next;
        expect(each->value == next++, "posts of one thread are taken in their order");
        each = after;
      }
    }
    owner.destroy();
  }
  void finish() {}
};

// Two threads set a flag and wake the owner, as a signal handler does; a third one may post, so
// that a sleep may end for that reason. Those who wake an owner keep it from ending.
template <int Posters>
struct wakes {
  static constexpr int threads = 3;
  owned_mailbox owner;
  node posted;
  std::array<atomic<bool>, 2> flags;
  atomic<int> awake = 0;

  void run(int thread) {
    if (thread == 0) {
      int sum = 0;
      while (sum != Posters || !has_flags()) {
        owner.sleep();
        sum += owner.run_posted();
      }
      while (awake.load(std::memory_order_acquire) != 2 - Posters) modelled::yield();
      owner.destroy();
    } else if (thread <= Posters) {
      posted.value = 1;
      owner.post(posted);
    } else {
      flags[static_cast<std::size_t>(thread - 1)].store(true, std::memory_order_relaxed);
      owner.wake();
      awake.fetch_add(1, std::memory_order_release);
    }
  }
  bool has_flags() {
    for (std::size_t i = Posters; i < flags.size(); ++i) {
      if (!flags[i].load(std::memory_order_relaxed)) return false;
    }
    return true;
  }
  void finish() {}
};

// The owner ends because it was woken.
struct last_wake {
  static constexpr int threads = 2;
  owned_mailbox owner;

  void run(int thread) {
    if (thread == 1) return owner.wake();
    while (owner.sleep()) {
    }
    owner.destroy();
  }
  void finish() {}
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

std::string failure_with(const mutation& changed) {
  std::string failure = explore<last_wake>({}, &changed).failure;
  if (failure.empty()) failure = explore<order_of_posts>({}, &changed).failure;
  if (failure.empty()) failure = explore<wakes<1>>({}, &changed).failure;
  if (failure.empty()) failure = explore<wakes<0>>({}, &changed).failure;
  if (failure.empty()) failure = explore<posts>({}, &changed).failure;
  return failure;
}

}  // namespace

TEST_SUITE_BEGIN("mailbox model");

TEST_CASE("no post and no wake-up is lost, and the mailbox is not used once it is gone") {
  known_sites().clear();
  check_holds<order_of_posts>("posts in order");
  check_holds<posts>("posts of two threads");
  check_holds<wakes<1>>("a post and a wake-up");
  check_holds<wakes<0>>("two wake-ups");
  check_holds<last_wake>("the last wake-up");
}

TEST_CASE("each memory order and each read-modify-write of the mailbox is needed") {
  int changes = 0;
  for (const auto& [place, where] : std::map(known_sites())) {
    if (!place.starts_with("mailbox.hpp")) continue;
    for (const mutation& changed : weakenings_of(where)) {
      const std::string failure = failure_with(changed);
      MESSAGE(changed.text() << ": " << failure);
      CHECK_MESSAGE(!failure.empty(), changed.text());
      ++changes;
    }
  }
  CHECK(changes >= 20);
}

TEST_SUITE_END();
