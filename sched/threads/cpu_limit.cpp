// Reads the affinity, and the CPU quotas of cgroups: cpu.max (version 2), or cpu.cfs_quota_us and
// cpu.cfs_period_us (version 1). See cgroups(7). A quota of a parent limits its children, too.
// SPDX-License-Identifier: MIT
#include "cpu_limit.hpp"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string_view>

namespace ringlet::detail {

namespace {

constexpr double no_limit = std::numeric_limits<double>::infinity();

// "max 100000", or the microseconds in each period, such as "150000 100000".
double quota_of_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0;
  double period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return no_limit;
  return quota / period;
}

double quota_of_v1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us");
  std::ifstream period_file(folder + "/cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) {
    return no_limit;
  }
  return quota / period;
}

// The smallest quota of the cgroup `path` and its parents, up to the mount point.
double smallest_quota(const std::string& mount, std::string path,
                      double (*quota_of)(const std::string& folder)) {
  double least = no_limit;
  for (;;) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    least = std::min(least, quota_of(mount + path));
    if (path.empty()) return least;
    const std::size_t slash = path.rfind('/');
    path.resize(slash == std::string::npos ? 0 : slash);
  }
}

// Whether a comma-separated list contains "cpu".
bool controls_cpu(std::string_view controllers) {
  std::istringstream list{std::string(controllers)};
  for (std::string one; std::getline(list, one, ',');) {
    if (one == "cpu") return true;
  }
  return false;
}

}  // namespace

std::vector<int> cpus_of_affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> found;
  // Fails on machines with more than 1,024 CPUs.
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return found;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) found.push_back(cpu);
  }
  return found;
}

std::size_t cpus_of_quota(std::size_t most, const std::string& root) {
  double least = static_cast<double>(most);
  std::ifstream groups(root + "/proc/self/cgroup");
  // Lines such as "0::/user.slice" (version 2) and "4:cpu,cpuacct:/jobs" (version 1).
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    const std::string mounts = root + "/sys/fs/cgroup";
    if (controllers.empty()) {
      least = std::min(least, smallest_quota(mounts, path, &quota_of_v2));
      least = std::min(least, smallest_quota(mounts + "/unified", path, &quota_of_v2));
    } else if (controls_cpu(controllers)) {
      least = std::min(least, smallest_quota(mounts + '/' + controllers, path, &quota_of_v1));
      least = std::min(least, smallest_quota(mounts + "/cpu", path, &quota_of_v1));
    }
  }
  return std::max<std::size_t>(1, static_cast<std::size_t>(least));
}

std::size_t cpus_to_use() {
  return cpus_of_quota(std::max<std::size_t>(1, cpus_of_affinity().size()));
}

}  // namespace ringlet::detail
