// The CPU time that this or another process has used so far, all threads together.
//
// The kernel counts it in nanoseconds, for user and kernel mode alike. So the difference between
// two readings, divided by the number of messages in between, is the cost of a message, even over
// half a second. clock_getcpuclockid(3) needs no permission to read another process.
// SPDX-License-Identifier: MIT
#pragma once

#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>

namespace bench {

class cpu_clock {
 public:
  /// The clock of process `pid`. Throws std::system_error if there is no such process.
  explicit cpu_clock(pid_t pid) {
    const int error = ::clock_getcpuclockid(pid, &id_);
    if (error != 0) {
      throw std::system_error(error, std::system_category(),
                              "cannot read the CPU time of process " + std::to_string(pid));
    }
  }

  /// The clock of the calling process.
  cpu_clock() noexcept = default;

  /// Throws std::system_error if the process has ended.
  std::uint64_t now_ns() const {
    timespec time{};
    if (::clock_gettime(id_, &time) != 0) {
      throw std::system_error(errno, std::system_category(),
                              "cannot read a CPU clock: has the process ended?");
    }
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
           static_cast<std::uint64_t>(time.tv_nsec);
  }

 private:
  clockid_t id_ = CLOCK_PROCESS_CPUTIME_ID;
};

}  // namespace bench
