// recursive_mutex: a mutex that its holder may lock again, as Python's RLock.
#pragma once

#include <ringlet/detail/lock_base.hpp>
#include <ringlet/extend/lock_guard.hpp>
#include <ringlet/extend/lock_wait.hpp>
#include <ringlet/time_limit.hpp>

#include <cstddef>

namespace ringlet {

/// Like mutex, but the fiber that holds it may lock it again without waiting. It is unlocked when
/// the last guard of that fiber has gone.
///
///     task<> node::visit() {                       // calls itself for the children,
///       const auto lock = co_await tree_.lock();   // which are in the same tree
///       for (node& child : children_) co_await child.visit();
///     }
///
/// Errors, cancellation, lifetime, thread, memory: those of mutex, but locking it twice is no
/// error.
class recursive_mutex : public detail::lock_base {
 public:
  /// What lock() returns: undoes that lock() when it is destroyed.
  using guard = extend::lock_guard<recursive_mutex>;

  recursive_mutex() noexcept : detail::lock_base("recursive_mutex") {}

  /// Waits until no other fiber holds it, and locks it. May be a part of a select().
  extend::lock_wait<recursive_mutex> lock(time_limit timeout = forever) noexcept {
    return {*this, timeout};
  }
  /// Locks it if no other fiber holds it; otherwise returns an empty guard. Aborts outside of a
  /// fiber.
  guard try_lock() { return guard(lock_for(extend::current()) ? this : nullptr); }
  /// What the guard does: undoes one lock(). Aborts if another fiber holds it, or none, and says
  /// which.
  void unlock() noexcept { release(); }

  /// How often its holder has locked it; 0 if no fiber holds it.
  std::size_t depth() const noexcept { return depth_; }

 private:
  friend class extend::lock_wait<recursive_mutex>;
  bool lock_for(extend::fiber_base& who) noexcept {
    if (holder_ != &who) return take(who);
    ++depth_;
    return true;
  }
};

}  // namespace ringlet
