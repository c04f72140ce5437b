// on_behalf_of: whose call it is when the engine checks memory while no fiber runs.
#pragma once

#include <ringlet/detail/sanitizers.hpp>

namespace ringlet::extend {

class fiber_base;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// The fiber that describe_running() describes instead of the running one; null for that. Returns
/// the one before. This thread.
const extend::fiber_base* describe_instead(const extend::fiber_base* who) noexcept;

/// While it lives a broken rule names that fiber. Only AddressSanitizer breaks one here, so without
/// it this is nothing.
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
