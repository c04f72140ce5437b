// The cost of single operations: nanoseconds per operation, the median of several rounds.
//
//     $ build/bench/micro
//     spawn + join                 41.2 ns
//     ...
//
// Workloads, one line of the table each: a fiber spawned and joined; yield with one fiber; a task
// that completes without suspending; a switch by hand; the next value of a generator, plain, nested
// ten deep, and asynchronous; a value sent to a two-way generator and answered; a timer armed and
// cancelled among 1,000 others; a nop through the engine, alone and in batches; a round trip to
// another thread; and those of micro_sync.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "micro_figures.hpp"
#include "micro_measure.hpp"
#include "micro_sync.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using bench::figure;

namespace {

task<> nothing() { co_return; }
task<int> ready(int value) { co_return value; }

task<> spawn_and_join(int count) {
  for (int i = 0; i < count; ++i) {
    const fiber<> child = spawn(nothing());
    co_await child.join();
  }
}

task<> yields(int count) {
  for (int i = 0; i < count; ++i) co_await yield();
}

task<> ready_tasks(int count) {
  std::int64_t sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await ready(i);
  if (sum < 0) std::puts("");  // the sum is used
}

generator<int> numbers(int depth) {
  if (depth > 0) co_yield elements_of(numbers(depth - 1));
  for (int i = 0;; ++i) co_yield i;
}

// Takes `count` values. The sum is used, so that no step is optimised away.
void take(generator<int> values, int count) {
  std::int64_t sum = 0;
  for (const int value : values) {
    sum += value;
    if (--count == 0) break;
  }
  if (sum < 0) std::puts("");
}

task<> generated(int count) {
  take(numbers(0), count);
  co_return;
}

task<> generated_deep(int count) {
  take(numbers(10), count);
  co_return;
}

async_generator<int> awaited_numbers() {
  for (int i = 0;; ++i) co_yield i;
}

task<> generated_awaited(int count) {
  std::int64_t sum = 0;
  auto values = awaited_numbers();
  for (int i = 0; i < count; ++i) sum += *co_await values.next();
  if (sum < 0) std::puts("");
}

two_way_generator<std::int64_t, int> adding() {
  for (std::int64_t sum = 0;;) sum += co_yield +sum;
}

task<> sent(int count) {
  auto sum = adding();
  sum.start();
  for (int i = 0; i < count; ++i) {
    if (*sum.send(i) < 0) std::puts("");
  }
  co_return;
}

// Each round trip is two switches.
task<> switches(int count) {
  greenlet<int> echo([](int n) -> task<int> {
    const greenlet_ref<int> caller = greenlet<int>::main();
    for (;;) n = co_await caller.switch_to(n);
  });
  std::int64_t sum = 0;
  for (int i = 0; i < count; i += 2) sum += co_await echo.switch_to(i);
  if (sum < 0) std::puts("");  // the sum is used
}

task<> timers(int count) {
  struct idle_timer : timer_entry {
    explicit idle_timer(timer_queue& queue) : timer_entry(queue), timers(queue) {}
    ~idle_timer() {
      timers.disarm(*this);
      timers.give_place();
    }
    void arm(steady_ns deadline) noexcept {
      timers.arm(*this, deadline, [](timer_entry&) noexcept {});
    }
    timer_queue& timers;
  };
  scheduler& here = current_scheduler();
  std::deque<idle_timer> others;
  constexpr int other_timers = 1000;
  for (int i = 0; i < other_timers; ++i) {
    others.emplace_back(here.timers()).arm(here.now() + 1'000'000'000 + i);
  }
  idle_timer one(here.timers());
  for (int i = 0; i < count; ++i) {
    one.arm(here.now() + 500'000'000);  // like a wait, including reading the clock
    here.timers().disarm(one);
  }
  co_return;
}

class nop_wait : public operation_wait {
 public:
  nop_wait() : operation_wait(opcode::nop, &operation_wait::on_done, forever) {}
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    static constexpr wait_type type = make_type<nop_wait>("nop");
    return begin_operation(type, caller.promise());
  }
  void await_resume() { rethrow_interruption_before_start(); }
};

task<> nops(int count) {
  for (int i = 0; i < count; ++i) co_await nop_wait();
}

task<> nops_in_batches(int count) {
  constexpr int batch = 64;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < batch; ++i) fibers.push_back(spawn(nops(count / batch)));
  co_await joinall(fibers);
}

// A wait that posted work completes.
class gate_wait : public list_wait {
 public:
  explicit gate_wait(wait_list& gate) : list_wait(forever), gate_(gate) {}
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    static constexpr wait_type type = make_type<gate_wait>("gate");
    frame_record& at = caller.promise();
    if (!enter(at)) return continue_or_yield(at);
    gate_.push_back(*this);
    suspend(type, at);
    return true;
  }
  void await_resume() { rethrow_interruption(); }

 private:
  wait_list& gate_;
};

// A round trip: the fiber asks through an atomic, another thread posts the answer.
task<> wakes(int count) {
  std::atomic<int> asked = 0;
  wait_list gate;
  const auto open_gate = [&gate] { gate.front().complete(); };
  std::thread other([&asked, open_gate, count, scheduler = scheduler_handle()] {
    for (int i = 0; i < count; ++i) {
      asked.wait(i);
      static_cast<void>(scheduler.post(open_gate));
    }
  });
  for (int i = 1; i <= count; ++i) {
    asked.store(i);
    asked.notify_one();
    co_await gate_wait(gate);
  }
  other.join();
}

}  // namespace

int main(int argc, char** argv) {
  bench::micro_options options;
  if (const auto status = bench::read_command_line(argc, argv, options)) return *status;

  std::vector<bench::row> rows = {
      {"spawn + join", 1'000'000, &spawn_and_join},
      {"yield", 5'000'000, &yields},
      {"ready task", 10'000'000, &ready_tasks},
      {"switch", 10'000'000, &switches},
      {"generator, next", 10'000'000, &generated},
      {"generator, next, 10 deep", 10'000'000, &generated_deep},
      {"async_generator, next", 10'000'000, &generated_awaited},
      {"two_way_generator, send and answer", 10'000'000, &sent},
      {"timer armed and cancelled", 2'000'000, &timers},
      {"nop through the ring", 200'000, &nops},
      {"nop through the ring, 64 at once", 1'000'000, &nops_in_batches},
      {"wake from another thread", 5'000, &wakes},
  };
  const std::vector<bench::row> sync = bench::sync_rows();
  rows.insert(rows.end(), sync.begin(), sync.end());
  const std::vector<figure> figures = bench::measure(rows, options);
  return bench::report("micro", figures, options);
}
