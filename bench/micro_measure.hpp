// Measuring a workload for the table of micro: several rounds in one scheduler.
#pragma once

#include <ringlet/run.hpp>
#include <ringlet/task.hpp>

#include <algorithm>
#include <array>
#include <chrono>

#include "micro_figures.hpp"

namespace bench {

/// Performs the operation `count` times.
using workload = ringlet::task<> (*)(int count);

/// The median and the minimum of 11 rounds of `count` operations each, in a new scheduler.
inline figure measure(const char* name, int count, workload work) {
  using clock = std::chrono::steady_clock;
  constexpr int rounds = 11;
  std::array<double, rounds> each;
  ringlet::run([](int n, workload run_it, std::array<double, rounds>& results) -> ringlet::task<> {
    co_await run_it(n / 10 + 1);  // warm-up: pools, caches
    for (double& result : results) {
      const auto begin = clock::now();
      co_await run_it(n);
      result = std::chrono::duration<double, std::nano>(clock::now() - begin).count() / n;
    }
  }(count, work, each));
  std::sort(each.begin(), each.end());
  return {name, each[rounds / 2], each.front()};
}

}  // namespace bench
