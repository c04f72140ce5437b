// on_behalf_of: names the fiber whose memory the engine checks while no fiber runs.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/sanitizers.hpp>

namespace ringlet::extend {

class fiber_base;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// Sets the fiber that describe_running() describes on this thread; null for the running one.
/// Returns the previous one.
const extend::fiber_base* describe_instead(const extend::fiber_base* who) noexcept;

/// While it exists, the message of a broken rule names that fiber. Only AddressSanitizer finds
/// broken rules here, so without it this class does nothing.
class on_behalf_of {
 public:
#ifdef RINGLET_ASAN
  explicit on_behalf_of(const extend::fiber_base& who) noexcept : before_(describe_instead(&who)) {}
  ~on_behalf_of() { describe_instead(before_); }
#else
  explicit on_behalf_of(const extend::fiber_base&) noexcept {}
#endif
  on_behalf_of(const on_behalf_of&) = delete;
  on_behalf_of& operator=(const on_behalf_of&) = delete;

#ifdef RINGLET_ASAN
 private:
  const extend::fiber_base* before_;
#endif
};

}  // namespace ringlet::detail
