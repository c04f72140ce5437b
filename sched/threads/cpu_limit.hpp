// cpu_limit: how many CPUs this process may use.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ringlet::detail {

/// The numbers of the CPUs in this thread's affinity, in ascending order; empty if they are not
/// known.
std::vector<int> cpus_of_affinity();

/// The smallest quota of the process's cgroups, in whole CPUs, at least 1; `most` if there is none.
/// `root` is the folder that contains proc/ and sys/: for tests.
std::size_t cpus_of_quota(std::size_t most, const std::string& root = "/");

/// What runtime_options::threads = 0 means.
std::size_t cpus_to_use();

}  // namespace ringlet::detail
