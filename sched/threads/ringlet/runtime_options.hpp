// runtime_options: settings of a runtime.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/options.hpp>

#include <cstddef>
#include <string>

namespace ringlet {

/// Settings of runtime and run_main_on_all(). All have safe defaults.
struct runtime_options {
  /// How many schedulers there are, each on a thread of its own; at most 1,024. 0 means as many as
  /// the CPUs that this process may use: those of its affinity (sched_setaffinity(2)), but no more
  /// than the quota of its cgroups allows, rounded down; at least 1.
  std::size_t threads = 0;
  /// Whether each thread stays on one CPU, in the order of the CPUs that the process may use.
  bool pin = false;
  /// The schedulers are named name/0, name/1 and so on, in dump() and in messages; "runtime/0" if
  /// it is empty.
  std::string name = {};
  /// The settings of each scheduler; its name is not used. Functions in it are called on each of
  /// the threads.
  options each = {};
};

}  // namespace ringlet
