// scheduler_slot: the value of a per_scheduler on one scheduler.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/scheduler_link.hpp>
#include <ringlet/extend/shutdown_hook.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

namespace ringlet::detail {

/// Has two owners, the per_scheduler and the scheduler. The value is destroyed on the scheduler's
/// thread: when the per_scheduler has been destroyed, or when the scheduler ends.
class scheduler_slot_base : private extend::posted_work, private extend::shutdown_hook {
 public:
  virtual ~scheduler_slot_base() = default;
  scheduler_slot_base(const scheduler_slot_base&) = delete;
  scheduler_slot_base& operator=(const scheduler_slot_base&) = delete;

  /// Called once it has a value, on the thread of its scheduler.
  void enlist() noexcept;
  /// Called once by the per_scheduler, after enlist(). Any thread.
  void release() noexcept;
  bool is_here() const noexcept { return serial_ == serial_here; }

 protected:
  /// On the thread of its scheduler.
  scheduler_slot_base();
  virtual void destroy_value() noexcept = 0;

 private:
  void on_shutdown() noexcept override {}
  void on_scheduler_gone() noexcept override;
  static void on_release(extend::posted_work& received) noexcept;
  void drop() noexcept;

  extend::scheduler_link home_;
  std::uint32_t serial_;
  std::atomic<int> owners_ = 2;
};

template <class T>
class scheduler_slot final : public scheduler_slot_base {
 public:
  template <class... Args>
  explicit scheduler_slot(const Args&... args) {
    value_.emplace(args...);
  }
  T& value() noexcept { return *value_; }

 private:
  void destroy_value() noexcept override { value_.reset(); }
  std::optional<T> value_;
};

/// A function that is called with the value on its scheduler.
template <class T, class F>
struct call_with_value {
  template <class... Args>
  auto operator()(Args&&... args) -> std::invoke_result_t<F&, T&, Args...> {
    return std::invoke(function, of->value(), std::forward<Args>(args)...);
  }
  scheduler_slot<T>* of;
  F function;
};

}  // namespace ringlet::detail
