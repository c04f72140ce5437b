// explorer and memory: what they find, and what they do not report.
//
// Method: the litmus tests of the literature, each with orders under which C++ allows an outcome
// and with orders under which it does not. An outcome that is allowed must be found.
// SPDX-License-Identifier: MIT
#include "model/explorer.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>

#include "model/memory.hpp"

using namespace ringlet::model;

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto acq_rel = std::memory_order_acq_rel;
constexpr auto seq_cst = std::memory_order_seq_cst;

// Both threads store and then load what the other one stores.
template <std::memory_order Store, std::memory_order Load>
struct store_buffering {
  static constexpr int threads = 2;
  std::array<atomic<int>, 2> x;
  std::array<int, 2> seen{};
  void run(int thread) {
    const auto mine = static_cast<std::size_t>(thread);
    x[mine].store(1, Store);
    seen[mine] = x[1 - mine].load(Load);
  }
  void finish() { expect(seen[0] + seen[1] != 0, "found"); }
};

// One writes data and then a flag; the other one reads the flag and then the data.
template <std::memory_order Store, std::memory_order Load>
struct message_passing {
  static constexpr int threads = 2;
  atomic<int> data = 0;
  atomic<int> flag = 0;
  void run(int thread) {
    if (thread == 0) {
      data.store(1, relaxed);
      flag.store(1, Store);
    } else if (flag.load(Load) == 1) {
      expect(data.load(relaxed) == 1, "found");
    }
  }
  void finish() {}
};

// A message that passes through a third thread, which changes or replaces the flag.
template <bool Exchanges>
struct release_sequence {
  static constexpr int threads = 3;
  variable<int> data = 0;
  atomic<int> flag = 0;
  void run(int thread) {
    if (thread == 0) {
      data = 1;
      flag.store(1, release);
    } else if (thread == 1) {
      if (flag.load(relaxed) != 1) return;
      if (Exchanges) flag.exchange(2, relaxed);
      if (!Exchanges) flag.store(2, relaxed);
    } else if (flag.load(acquire) == 2) {
      expect(data == 1, "the data is there");
    }
  }
  void finish() {}
};

// Both threads store to both variables, in opposite order.
template <std::memory_order Store>
struct opposite_stores {
  static constexpr int threads = 2;
  std::array<atomic<int>, 2> x;
  void run(int thread) {
    const auto mine = static_cast<std::size_t>(thread);
    x[mine].store(1, Store);
    x[1 - mine].store(2, Store);
  }
  void finish() { expect(x[0].load() != 1 || x[1].load() != 1, "found"); }
};

// Two threads write; two others see the writes in different orders.
template <std::memory_order Store, std::memory_order Load>
struct independent_reads {
  static constexpr int threads = 4;
  std::array<atomic<int>, 2> x;
  std::array<bool, 2> sees_own_first{};
  void run(int thread) {
    if (thread < 2) return x[static_cast<std::size_t>(thread)].store(1, Store);
    const auto mine = static_cast<std::size_t>(thread - 2);
    sees_own_first[mine] = x[mine].load(Load) == 1 && x[1 - mine].load(Load) == 0;
  }
  void finish() { expect(!sees_own_first[0] || !sees_own_first[1], "found"); }
};

// A thread reads the same variable twice.
struct coherence {
  static constexpr int threads = 2;
  atomic<int> x = 0;
  void run(int thread) {
    if (thread == 0) {
      x.store(1, relaxed);
      x.store(2, relaxed);
      return;
    }
    const int first = x.load(relaxed);
    expect(first <= x.load(relaxed), "a thread sees no older value after a newer one");
  }
  void finish() {}
};

template <class Mutex>
struct counting {
  static constexpr int threads = 2;
  Mutex lock;
  variable<int> count = 0;
  void run(int) {
    lock.lock();
    count = count + 1;
    lock.unlock();
  }
  void finish() { expect(count == 2, "each is counted"); }
};

template <std::memory_order Order>
struct atomic_counting {
  static constexpr int threads = 3;
  atomic<int> count = 0;
  void run(int) { count.fetch_add(1, Order); }
  void finish() { expect(count.load() == 3, "each is counted"); }
};

// A thread sleeps that no other one wakes, unless it looks first.
struct sleeping {
  static constexpr int threads = 2;
  atomic<bool> flag = false;
  wakeup fd;
  void run(int thread) {
    if (thread == 1) {
      if (flag.load()) fd.notify();
    } else {
      flag.store(true);
      fd.wait();
    }
  }
  void finish() {}
};

template <class World>
std::string outcome() {
  const verdict found = explore<World>();
  CHECK((found.is_complete || !found.failure.empty()));
  return found.failure;
}

}  // namespace

TEST_SUITE_BEGIN("explorer");

TEST_CASE("store buffering: both loads may be early unless all are sequentially consistent") {
  CHECK(outcome<store_buffering<release, acquire>>() == "found");
  CHECK(outcome<store_buffering<seq_cst, acquire>>() == "found");
  CHECK(outcome<store_buffering<release, seq_cst>>() == "found");
  CHECK(outcome<store_buffering<seq_cst, seq_cst>>().empty());
}

TEST_CASE("message passing: the data may be late unless the flag is released and acquired") {
  CHECK(outcome<message_passing<relaxed, acquire>>() == "found");
  CHECK(outcome<message_passing<release, relaxed>>() == "found");
  CHECK(outcome<message_passing<release, acquire>>().empty());
  CHECK(outcome<message_passing<seq_cst, seq_cst>>().empty());
}

TEST_CASE("a release is continued by a read-modify-write, and not by a store") {
  CHECK(outcome<release_sequence<true>>().empty());
  CHECK_FALSE(outcome<release_sequence<false>>().empty());
}

TEST_CASE("stores of two threads may be ordered against both, unless sequentially consistent") {
  CHECK(outcome<opposite_stores<release>>() == "found");
  CHECK(outcome<opposite_stores<seq_cst>>().empty());
}

TEST_CASE("two readers may disagree about the order of writes, unless sequentially consistent") {
  CHECK(outcome<independent_reads<release, acquire>>() == "found");
  CHECK(outcome<independent_reads<seq_cst, seq_cst>>().empty());
}

TEST_CASE("each thread sees the values of one variable in their order") {
  CHECK(outcome<coherence>().empty());
}

TEST_CASE("a mutex orders what is done while it is held; a weak one does not") {
  CHECK(outcome<counting<mutex>>().empty());
  CHECK_FALSE(outcome<counting<weak_mutex>>().empty());
}

TEST_CASE("a read-modify-write is never lost, unless it is split") {
  CHECK(outcome<atomic_counting<relaxed>>().empty());
  CHECK(outcome<atomic_counting<acq_rel>>().empty());
  known_sites().clear();
  CHECK(outcome<atomic_counting<seq_cst>>().empty());
  int splits = 0;
  for (const auto& [place, where] : known_sites()) {
    for (const mutation& changed : weakenings_of(where)) {
      if (!changed.splits) continue;
      ++splits;
      CHECK(explore<atomic_counting<seq_cst>>({}, &changed).failure == "each is counted");
    }
  }
  CHECK(splits == 1);
}

TEST_CASE("a thread that is never woken is found, and the trace shows how that came about") {
  const verdict found = explore<sleeping>();
  CHECK(found.failure == "no thread can run, thread 0 waits for a notification");
  CHECK(found.trace.find("thread 1: explorer_test.cpp:") != std::string::npos);
}

TEST_SUITE_END();
