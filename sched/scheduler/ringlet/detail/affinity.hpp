// affinity: the scheduler of an object that is constructed without one.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringlet::extend {

class scheduler;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// The serial number of this thread's scheduler; 0 if there is none. Initial-exec makes reading it
/// one instruction.
extern thread_local constinit std::uint32_t serial_here __attribute__((tls_model("initial-exec")));

/// Aborts with `rule`, the names of both schedulers and what to do instead.
[[noreturn, gnu::cold]] void wrong_thread(const extend::scheduler& owner,
                                          const char* rule) noexcept;

/// The object belongs to the first scheduler that uses it. When that scheduler has ended, another
/// one may use the object. Outside of run(), the object may be used unless its scheduler is still
/// running.
class affinity {
 public:
  /// Aborts with `rule` if the object belongs to another scheduler.
  void check(const char* rule) noexcept {
    if (serial_ != serial_here) [[unlikely]]
      settle(rule);
  }
  /// Whether it belongs to a scheduler of the parent of this child of fork(). For destructors: the
  /// fibers that hold something of it never run again.
  bool is_left_behind() const noexcept;

 private:
  void settle(const char* rule) noexcept;

  std::uint32_t serial_ = 0;
};

}  // namespace ringlet::detail
