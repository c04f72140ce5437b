// The cost of a switch by hand in ringlet and, in the same process, with the stacks of
// boost.context: nanoseconds per switch, medians of interleaved rounds.
//
//     $ build/bench/switch_peers
//     ringlet 4.64
//     boost.context 6.05
//
// Workload: one side sends a number, the other one sends it back; two switches per round trip.
// bench/switch_peers.py also runs Python's greenlet and prints the ratios.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <algorithm>
#include <array>
#include <boost/context/fiber.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <utility>

using namespace ringlet;
using namespace ringlet::extend;

namespace {

constexpr int rounds = 31;
constexpr int switches = 1'000'000;  // per round, of each kind

using clock_type = std::chrono::steady_clock;

double nanoseconds_per_switch(clock_type::time_point begin) {
  return std::chrono::duration<double, std::nano>(clock_type::now() - begin).count() / switches;
}

// The sum of the replies; used, so that the switches are not optimised away.
std::int64_t sum = 0;

task<double> ringlet_round(greenlet<int>& echo) {
  const auto begin = clock_type::now();
  for (int i = 0; i < switches; i += 2) sum += co_await echo.switch_to(i);
  co_return nanoseconds_per_switch(begin);
}

double boost_round() {
  namespace context = boost::context;
  int value = 0;
  bool done = false;
  context::fiber echo([&done](context::fiber&& caller) {
    while (!done) caller = std::move(caller).resume();
    return std::move(caller);
  });
  const auto begin = clock_type::now();
  for (int i = 0; i < switches; i += 2) {
    value = i;
    echo = std::move(echo).resume();
    sum += value;
  }
  const double result = nanoseconds_per_switch(begin);
  done = true;
  echo = std::move(echo).resume();
  return result;
}

double median(std::array<double, rounds>& of) {
  std::sort(of.begin(), of.end());
  return of[rounds / 2];
}

task<> measure() {
  std::array<double, rounds> ours{}, theirs{};
  greenlet<int> echo([](int n) -> task<int> {
    const greenlet_ref<int> caller = greenlet<int>::main();
    for (;;) n = co_await caller.switch_to(n);
  });
  for (std::size_t i = 0; i < rounds; ++i) {
    ours[i] = co_await ringlet_round(echo);
    theirs[i] = boost_round();
  }
  std::printf("ringlet %.2f\nboost.context %.2f\n", median(ours), median(theirs));
  if (sum < 0) std::puts("");
}

}  // namespace

int main() { run(measure()); }
