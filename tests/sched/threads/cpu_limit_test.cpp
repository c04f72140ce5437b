// cpu_limit: how many threads a runtime has by default. The quotas are read from files that the
// test writes.
// SPDX-License-Identifier: MIT
#include "cpu_limit.hpp"

#include <ringlet/runtime.hpp>

#include <doctest/doctest.h>

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

using namespace ringlet;
using namespace ringlet::detail;

namespace {

// A folder with the files that describe the cgroups of a process.
class files {
 public:
  files() {
    std::string pattern = std::filesystem::temp_directory_path() / "ringlet-cpu-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
  }
  files(const files&) = delete;
  files& operator=(const files&) = delete;
  ~files() { std::filesystem::remove_all(root_); }

  files& write(const std::string& path, const std::string& text) {
    const std::filesystem::path whole = root_ + "/" + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text << '\n';
    return *this;
  }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

}  // namespace

TEST_SUITE_BEGIN("cpu_limit");

TEST_CASE("without a quota, all CPUs of the affinity may be used") {
  files none;
  CHECK(cpus_of_quota(8, none.root()) == 8);
  files unlimited;
  unlimited.write("proc/self/cgroup", "0::/app").write("sys/fs/cgroup/app/cpu.max", "max 100000");
  CHECK(cpus_of_quota(8, unlimited.root()) == 8);
}

TEST_CASE("a quota of version 2 limits the number, rounded down, but not below 1") {
  for (const auto& [quota, cpus] :
       {std::pair("200000 100000", 2), {"399999 100000", 3}, {"50000 100000", 1}}) {
    files limited;
    limited.write("proc/self/cgroup", "0::/app").write("sys/fs/cgroup/app/cpu.max", quota);
    CHECK(cpus_of_quota(8, limited.root()) == static_cast<std::size_t>(cpus));
  }
}

TEST_CASE("the smallest quota of the parents counts") {
  files nested;
  nested.write("proc/self/cgroup", "0::/outer/middle/app")
      .write("sys/fs/cgroup/outer/cpu.max", "300000 100000")
      .write("sys/fs/cgroup/outer/middle/cpu.max", "max 100000")
      .write("sys/fs/cgroup/outer/middle/app/cpu.max", "500000 100000");
  CHECK(cpus_of_quota(8, nested.root()) == 3);
}

TEST_CASE("in a namespace of its own, a cgroup is the root, and may have a quota") {
  files container;
  container.write("proc/self/cgroup", "0::/").write("sys/fs/cgroup/cpu.max", "150000 50000");
  CHECK(cpus_of_quota(8, container.root()) == 3);
}

TEST_CASE("a quota of version 1 limits the number, wherever its controller is mounted") {
  files joint;
  joint.write("proc/self/cgroup", "9:memory:/app\n4:cpu,cpuacct:/app\n1:cpuset:/app")
      .write("sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "400000")
      .write("sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "100000")
      .write("sys/fs/cgroup/cpuset/app/cpu.cfs_quota_us", "100000")
      .write("sys/fs/cgroup/cpuset/app/cpu.cfs_period_us", "100000");
  CHECK(cpus_of_quota(8, joint.root()) == 4);
  files linked;
  linked.write("proc/self/cgroup", "4:cpuacct,cpu:/app")
      .write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000")
      .write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
      .write("sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "-1")
      .write("sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000");
  CHECK(cpus_of_quota(8, linked.root()) == 2);
}

TEST_CASE("files that cannot be understood set no limit") {
  files odd;
  odd.write("proc/self/cgroup", "nonsense\n0::/app")
      .write("sys/fs/cgroup/app/cpu.max", "lots of it");
  CHECK(cpus_of_quota(5, odd.root()) == 5);
}

TEST_CASE("a runtime has as many schedulers as it may use CPUs, or as many as it was told") {
  CHECK(runtime().size() == cpus_to_use());
  CHECK(cpus_to_use() >= 1);
  CHECK(cpus_to_use() <= std::max<std::size_t>(1, cpus_of_affinity().size()));
  CHECK(runtime({.threads = 3}).size() == 3);
}

TEST_SUITE_END();
