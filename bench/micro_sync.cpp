// The cost of what fibers do with locks, events and queues; see micro.cpp.
//
// A hand-over is measured between two fibers that wait for each other each time, so it includes one
// switch to the other fiber and back for two operations.
// SPDX-License-Identifier: MIT
#include "micro_sync.hpp"

#include <ringlet/channel.hpp>
#include <ringlet/condition.hpp>
#include <ringlet/event.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/mutex.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/select.hpp>
#include <ringlet/semaphore.hpp>
#include <ringlet/shared_mutex.hpp>
#include <ringlet/sleep.hpp>

#include <cstddef>
#include <cstdio>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "micro_measure.hpp"

using namespace ringlet;

namespace bench {
namespace {

task<> locks(int count) {
  mutex lock;
  for (int i = 0; i < count; ++i) const mutex::guard held = co_await lock.lock();
}

// Unlocking hands the mutex over, because the other fiber waits.
task<> lock_in_turn(mutex& lock, int count) {
  for (int i = 0; i < count; ++i) {
    const mutex::guard held = co_await lock.lock();
    co_await yield();
  }
}

task<> locks_handed_over(int count) {
  mutex lock;
  const fiber<> one = spawn(lock_in_turn(lock, count / 2));
  const fiber<> other = spawn(lock_in_turn(lock, count / 2));
  co_await joinall(one, other);
}

task<> shares(int count) {
  shared_mutex lock;
  for (int i = 0; i < count; ++i) const auto held = co_await lock.lock_shared();
}

task<> permits(int count) {
  semaphore two(2);
  for (int i = 0; i < count; ++i) const semaphore::permit one = co_await two.acquire();
}

struct turn {
  mutex lock;
  condition changed{lock};
  int whose = 0;
};

task<> take_turns(turn& all, int me, int count) {
  const mutex::guard held = co_await all.lock.lock();
  const auto is_mine = [&] { return all.whose == me; };
  for (int i = 0; i < count; ++i) {
    co_await all.changed.wait(is_mine);
    all.whose = 1 - me;
    all.changed.notify();
  }
}

task<> conditions(int count) {
  turn all;
  const fiber<> one = spawn(take_turns(all, 0, count / 2));
  const fiber<> other = spawn(take_turns(all, 1, count / 2));
  co_await joinall(one, other);
}

task<> push(queue<int>& to, int count) {
  for (int i = 0; i < count; ++i) co_await to.push(+i);
}

task<> pop(queue<int>& from, int count) {
  std::size_t sum = 0;
  for (int i = 0; i < count; ++i) sum += static_cast<std::size_t>(co_await from.pop());
  if (sum == 1) std::puts("");  // the sum is used
}

task<> queue_of_one(int count) {
  queue<int> items(1);
  const fiber<> one = spawn(push(items, count)), other = spawn(pop(items, count));
  co_await joinall(one, other);
}

task<> queue_unlimited(int count) {
  queue<int> items;
  const fiber<> one = spawn(push(items, count)), other = spawn(pop(items, count));
  co_await joinall(one, other);
}

task<> send(channel_sender<int> to, int count) {
  for (int i = 0; i < count; ++i) co_await to.send(+i);
}

task<> receive(channel_receiver<int> from) {
  std::size_t sum = 0;
  while (const std::optional<int> next = co_await from.receive()) {
    sum += static_cast<std::size_t>(*next);
  }
  if (sum == 1) std::puts("");
}

task<> channel_of_one(int count) {
  auto [out, in] = channel<int>(1);
  const fiber<> one = spawn(send(std::move(out), count)), other = spawn(receive(std::move(in)));
  co_await joinall(one, other);
}

task<> pop_either(queue<int>& one, queue<int>& other, int count) {
  std::size_t sum = 0;
  for (int i = 0; i < count; ++i) sum += (co_await select(one.pop(), other.pop())).index();
  if (sum == 1) std::puts("");
}

task<> selects(int count) {
  queue<int> one(1), other(1);
  const fiber<> reader = spawn(pop_either(one, other, count));
  const fiber<> writer = spawn(push(one, count / 2)),
                second = spawn(push(other, count - count / 2));
  co_await joinall(reader, writer, second);
}

task<> wait_for(event& on) { co_await on.wait(); }

// Without the spawning and joining of the fibers, which the next line measures.
task<> spawn_each(int count) {
  event on;
  on.set();
  std::vector<fiber<>> all;
  all.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) all.push_back(spawn(wait_for(on)));
  co_await joinall(all);
}

task<> wake_each(int count) {
  event on;
  std::vector<fiber<>> all;
  all.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) all.push_back(spawn(wait_for(on)));
  co_await yield();
  on.set();
  co_await joinall(all);
}

}  // namespace

std::vector<row> sync_rows() {
  constexpr int many = 100'000;
  return {
      {"mutex, lock and unlock", 10'000'000, &locks},
      {"mutex, handed over (with a yield)", 2'000'000, &locks_handed_over},
      {"shared_mutex, lock_shared and unlock", 10'000'000, &shares},
      {"semaphore, acquire and release", 10'000'000, &permits},
      {"condition, notify and wake", 2'000'000, &conditions},
      {"queue of 1, item handed over", 2'000'000, &queue_of_one},
      {"queue without a limit, item", 5'000'000, &queue_unlimited},
      {"channel of 1, item handed over", 2'000'000, &channel_of_one},
      {"select of two queues", 1'000'000, &selects},
      {"100,000 fibers that need not wait", many, &spawn_each},
      {"100,000 fibers that one event wakes", many, &wake_each},
  };
}

}  // namespace bench
