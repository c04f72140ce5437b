// The cost of what two schedulers do with each other, and what it costs by hand: nanoseconds per
// operation, the median of several rounds.
//
//     $ build/bench/micro_threads
//     sleeping thread woken, and back       44210.3    43012.9
//     ...
//
// Rows marked `CPU` count the CPU time of both threads; all other rows count the time that passes,
// as micro.cpp does. The eventfd by hand is the least that waking a thread through a descriptor
// costs: both threads block in read(2). How long that takes depends first of all on the CPUs: about
// 5 us if both threads are on one, up to 60 us if a virtual CPU must be woken, too. Only rows with
// "a CPU each" pin the threads; in all other rows the kernel chooses.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "cpu_clock.hpp"
#include "micro_figures.hpp"
#include "micro_hand_over.hpp"

using namespace ringlet;
using bench::figure;

namespace {

/// Performs an operation `count` times on two schedulers that have nothing else to do. Returns
/// nanoseconds per operation.
using measurement = double (*)(runtime& two, int count);

enum class placement { anywhere, a_cpu_each };

struct row {
  const char* name;
  int count;
  measurement measure;
  placement where = placement::anywhere;
};

template <class F>
double wall_ns(int count, F work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double, std::nano> passed = std::chrono::steady_clock::now() - begin;
  return passed.count() / count;
}

// Of the whole process: the thread that measures sleeps.
template <class F>
double cpu_ns(int count, F work) {
  const bench::cpu_clock own;
  const std::uint64_t before = own.now_ns();
  work();
  return static_cast<double>(own.now_ns() - before) / count;
}

// One scheduler asks, then sleeps; the other one, which sleeps until then, answers.
task<> ask(scheduler_handle here, scheduler_handle there, int count) {
  event answered;
  const auto set = [&] { answered.set(); };
  const auto answer = [&] {
    if (!here.post(set)) std::abort();
  };
  for (int i = 0; i < count; ++i) {
    answered.reset();
    if (!there.post(answer)) std::abort();
    co_await answered.wait();
  }
}

double wake_ups(runtime& two, int count) {
  return wall_ns(count, [&] { two.call(0, ask, two.handle(0), two.handle(1), count); });
}

void give(const unique_fd& to) {
  const std::uint64_t one = 1;
  if (::write(to.get(), &one, sizeof one) != sizeof one) std::abort();
}

void take(const unique_fd& from) {
  std::uint64_t value = 0;
  if (::read(from.get(), &value, sizeof value) != sizeof value) std::abort();
}

// The CPUs that this thread may use; restored when it ends.
class affinity {
 public:
  affinity() {
    if (::sched_getaffinity(0, sizeof all_, &all_) != 0) std::abort();
  }
  affinity(const affinity&) = delete;
  affinity& operator=(const affinity&) = delete;
  ~affinity() { ::sched_setaffinity(0, sizeof all_, &all_); }

  int count() const { return CPU_COUNT(&all_); }
  // Pins the thread that calls it to the first CPU (0), or the second (1).
  void pin(int index) const {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &all_) && index-- == 0) CPU_SET(cpu, &one);
    }
    if (::sched_setaffinity(0, sizeof one, &one) != 0) std::abort();
  }

 private:
  cpu_set_t all_;
};

template <placement Where>
double wake_ups_by_hand(runtime&, int count) {
  const affinity cpus;
  const auto settle = [&](int index) {
    if (Where == placement::a_cpu_each) cpus.pin(index);
  };
  const unique_fd there(::eventfd(0, EFD_CLOEXEC)), back(::eventfd(0, EFD_CLOEXEC));
  std::thread other([&] {
    settle(1);
    for (int i = 0; i < count; ++i) {
      take(there);
      give(back);
    }
  });
  settle(0);
  const double each = wall_ns(count, [&] {
    for (int i = 0; i < count; ++i) {
      give(there);
      take(back);
    }
  });
  other.join();
  return each;
}

constexpr std::size_t queue_size = 1024;
constexpr std::size_t group_size = 64;
using numbers = std::array<int, group_size>;

task<> push(concurrent_queue<int>& to, int count) {
  for (int i = 0; i < count; ++i) co_await to.push(+i);
}

task<std::int64_t> pop(concurrent_queue<int>& from, int count) {
  std::int64_t sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await from.pop();
  co_return sum;
}

task<> push_groups(concurrent_queue<int>& to, int count) {
  numbers group;
  for (int next = 0; next < count;) {
    std::iota(group.begin(), group.end(), next);
    const auto left = static_cast<std::size_t>(count - next);
    const auto some = std::span(group).first(std::min(left, group_size));
    next += static_cast<int>(co_await to.push_some(some));
  }
}

task<std::int64_t> pop_groups(concurrent_queue<int>& from, int count) {
  std::int64_t sum = 0;
  numbers group;
  const std::span all(group);
  for (int popped = 0; popped < count;) {
    const std::size_t some = co_await from.pop_some(all);
    for (const int one : all.first(some)) sum += one;
    popped += static_cast<int>(some);
  }
  co_return sum;
}

using pusher = task<> (*)(concurrent_queue<int>&, int);
using popper = task<std::int64_t> (*)(concurrent_queue<int>&, int);

template <pusher Push, popper Pop>
double items(runtime& two, int count) {
  concurrent_queue<int> queue(queue_size);
  std::int64_t sum = 0;
  const double each = wall_ns(count, [&] {
    const auto popping = two.spawn(1, Pop, std::ref(queue), +count);
    two.call(0, Push, std::ref(queue), +count);
    sum = popping.get_blocking();
  });
  if (sum != std::int64_t{count} * (count - 1) / 2) std::abort();
  return each;
}

constexpr int calls_in_flight = 100;

int next(int value) { return value + 1; }

task<> call_next(int count) {
  for (int i = 0; i < count; ++i) {
    const int got = co_await run_on(1, next, i);
    if (got != i + 1) std::abort();
  }
}

task<> call_in_flight(int count) {
  std::vector<fiber<>> fibers;
  for (int i = 0; i < calls_in_flight; ++i) {
    fibers.push_back(spawn(call_next(count / calls_in_flight)));
  }
  co_await joinall(fibers);
}

double calls(runtime& two, int count) {
  return cpu_ns(count, [&] { two.call(0, call_in_flight, +count); });
}

figure measure(const row& what, int rounds) {
  runtime two({.threads = 2, .pin = what.where == placement::a_cpu_each});
  what.measure(two, what.count / 10);  // warm-up: pools, caches
  std::vector<double> each(static_cast<std::size_t>(rounds));
  for (double& result : each) result = what.measure(two, what.count);
  return bench::figure_of(what.name, std::move(each));
}

}  // namespace

int main(int argc, char** argv) {
  bench::micro_options options;
  if (const auto status = bench::read_command_line(argc, argv, options)) return *status;

  const row rows[] = {
      {"sleeping thread woken, and back", 5'000, &wake_ups},
      {"  by hand, with eventfd", 5'000, &wake_ups_by_hand<placement::anywhere>},
      {"woken, a CPU each", 5'000, &wake_ups, placement::a_cpu_each},
      {"  by hand, a CPU each", 5'000, &wake_ups_by_hand<placement::a_cpu_each>,
       placement::a_cpu_each},
      {"queue between threads, item", 1'000'000, &items<push, pop>},
      {"queue between threads, in groups", 1'000'000, &items<push_groups, pop_groups>},
      {"run_on, 100 in flight, CPU", 200'000, &calls},
      {"socket handed over, CPU", 1'000, &bench::hand_overs},
  };
  std::vector<figure> figures;
  const bool has_two_cpus = affinity().count() > 1;
  for (const row& one : rows) {
    if (one.where == placement::a_cpu_each && !has_two_cpus) continue;
    if (options.ask_for(one.name)) figures.push_back(measure(one, options.rounds));
  }
  return bench::report("micro_threads", figures, options);
}
