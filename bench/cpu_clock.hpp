// How much CPU time a process, all its threads together, has used so far: ours or another one's.
//
// The kernel keeps this to the nanosecond, in user and kernel mode alike, so the difference between
// two readings divided by the messages in between is the cost of a message, even over half a
// second. For a foreign process clock_getcpuclockid(3) needs no permission.
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
  /// The clock of process `pid`. Throws std::system_error when there is no such process.
  explicit cpu_clock(pid_t pid) {
    const int error = ::clock_getcpuclockid(pid, &id_);
    if (error != 0) {
      throw std::system_error(error, std::system_category(),
                              "cannot read the CPU time of process " + std::to_string(pid));
    }
  }

  /// The clock of the calling process.
  cpu_clock() noexcept = default;

  /// Throws std::system_error when the process has ended.
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
