// Measuring the rows of micro's table: several rounds of a workload in one scheduler.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/run.hpp>
#include <ringlet/task.hpp>

#include <chrono>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "micro_figures.hpp"

namespace bench {

/// Performs the operation `count` times.
using workload = ringlet::task<> (*)(int count);

/// A line of the table: in each round the operation is performed `count` times.
struct row {
  const char* name;
  int count;
  workload work;
};

/// The median and the minimum of `rounds` rounds, in a new scheduler.
inline figure measure(const row& what, int rounds) {
  using clock = std::chrono::steady_clock;
  std::vector<double> each(static_cast<std::size_t>(rounds));
  ringlet::run([](const row& one, std::vector<double>& results) -> ringlet::task<> {
    co_await one.work(one.count / 10 + 1);  // warm-up: pools, caches
    for (double& result : results) {
      const auto begin = clock::now();
      co_await one.work(one.count);
      result = std::chrono::duration<double, std::nano>(clock::now() - begin).count() / one.count;
    }
  }(what, each));
  return figure_of(what.name, std::move(each));
}

/// Measures the rows that the options name; all rows if they name none.
inline std::vector<figure> measure(std::span<const row> rows, const micro_options& options) {
  std::vector<figure> figures;
  for (const row& one : rows) {
    if (options.ask_for(one.name)) figures.push_back(measure(one, options.rounds));
  }
  return figures;
}

}  // namespace bench
