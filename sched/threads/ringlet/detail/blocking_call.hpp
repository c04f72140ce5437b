// blocking_call: a call that a scheduler makes for a thread that blocks until it has been made.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/call_value.hpp>
#include <ringlet/detail/remote_call.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/fiber_base.hpp>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

/// Lives on the stack of the blocked thread, and carries its own message.
class blocking_call_base : private extend::posted_work, private extend::done_watcher {
 public:
  blocking_call_base(const blocking_call_base&) = delete;
  blocking_call_base& operator=(const blocking_call_base&) = delete;

  /// Returns when the call has returned a value; throws otherwise.
  void make(const call_target& to);

 protected:
  blocking_call_base() noexcept;
  ~blocking_call_base() = default;

  /// Like remote_call.
  virtual extend::fiber_base* start(extend::scheduler& here) = 0;
  virtual void collect(extend::fiber_base& ended) = 0;

 private:
  static void on_request(extend::posted_work& received) noexcept;
  static void on_callee_ended(extend::done_watcher& watcher) noexcept;
  void finish() noexcept;

  std::mutex mutex_;
  std::condition_variable over_;
  bool is_over_ = false;
  bool was_refused_ = false;
  extend::fiber_base* callee_ = nullptr;
  std::exception_ptr error_;
};

template <class F, class... Args>
class blocking_call final : public blocking_call_base {
  using call = call_value<std::invoke_result_t<F, Args...>>;

 public:
  template <class... Given>
  explicit blocking_call(const std::source_location& where, Given&&... given)
      : where_(where), function_(std::forward<Given>(given)...) {}
  typename call::type take() { return value_.move_out(); }

 private:
  extend::fiber_base* start(extend::scheduler& here) override {
    return std::apply(
        [&](F& f, Args&... args) {
          return value_.start(here, here.root_scope(), where_, std::move(f), std::move(args)...);
        },
        function_);
  }
  void collect(extend::fiber_base& ended) override { value_.collect(ended); }

  std::source_location where_;
  std::tuple<F, Args...> function_;
  call value_;
};

}  // namespace ringlet::detail
