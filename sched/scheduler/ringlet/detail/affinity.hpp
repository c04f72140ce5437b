// affinity: which scheduler an object belongs to that does not name one when it is made.
#pragma once

#include <cstdint>

namespace ringlet::extend {

class scheduler;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// The number of this thread's scheduler; 0 where there is none. Initial-exec makes reading it one
/// instruction.
extern thread_local constinit std::uint32_t serial_here __attribute__((tls_model("initial-exec")));

/// Aborts with `rule`, the names of both schedulers and what to do instead.
[[noreturn, gnu::cold]] void wrong_thread(const extend::scheduler& owner,
                                          const char* rule) noexcept;

/// The object belongs to the scheduler that uses it first, for as long as that exists; then another
/// one may use it. Outside of run() it may be used as long as it belongs to none.
class affinity {
 public:
  /// Aborts with `rule` on another thread.
  void check(const char* rule) noexcept {
    if (serial_ != serial_here) [[unlikely]]
      settle(rule);
  }

 private:
  void settle(const char* rule) noexcept;

  std::uint32_t serial_ = 0;
};

}  // namespace ringlet::detail
