// remote_fiber_state: what the handles of a fiber of another scheduler share with it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/call_value.hpp>
#include <ringlet/detail/fiber_state.hpp>
#include <ringlet/detail/handle_state.hpp>
#include <ringlet/detail/remote_start.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/outcome.hpp>
#include <ringlet/time_limit.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <string>
#include <tuple>
#include <utility>

namespace ringlet::extend {

class remote_join_wait;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// Thread: any, except where noted. These hold references: the handles, the waits, a kill that is
/// under way, and the starter's scheduler until it has been told the end. The fiber holds one, too,
/// which tells whether it has ended: so the thread that ended it has nothing left to do with the
/// results when others read them.
class remote_fiber_base : private extend::done_watcher, private remote_start {
 public:
  remote_fiber_base(const remote_fiber_base&) = delete;
  remote_fiber_base& operator=(const remote_fiber_base&) = delete;

  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  /// Sends the fiber to its scheduler, which has a place in its mailbox for it. False if it has
  /// ended; then there is no fiber.
  bool send() noexcept;
  void request_kill() noexcept;

  bool is(const extend::fiber_base& fiber) noexcept;
  /// Whether the fiber has ended. From then on its results can be read.
  bool done() const noexcept { return (references_.load(std::memory_order_acquire) & alive) == 0; }
  /// False if the fiber has ended. Otherwise the waiter gets a message when it does.
  bool add_waiter(extend::remote_join_wait& waiter) noexcept;
  /// Whether the waiter will get no message: it was waiting, and waits no more.
  bool remove_waiter(extend::remote_join_wait& waiter) noexcept;
  /// Blocks this thread until the fiber has ended. False if the limit passed first.
  bool wait(time_limit timeout);

  outcome result() const noexcept;
  std::exception_ptr error() const noexcept;
  /// Throws the error, or errc::fiber_cancelled. Precondition: it has ended without a value.
  [[noreturn]] void throw_failure() const;
  const handle_state& home() const noexcept { return *home_; }

 protected:
  remote_fiber_base(std::shared_ptr<handle_state> home, const std::source_location& where) noexcept;
  virtual ~remote_fiber_base();

  /// Makes the fiber, on the thread of its scheduler.
  virtual extend::fiber_base* start(extend::scheduler& here, const std::source_location& where) = 0;
  extend::fiber_base& callee() const noexcept { return *callee_; }

 private:
  struct message : extend::posted_work {
    remote_fiber_base* about;
  };

  static void on_request(extend::posted_work& received) noexcept;
  static void on_kill(extend::posted_work& received) noexcept;
  static void on_callee_ended(extend::done_watcher& watcher) noexcept;
  static void on_end_elsewhere(extend::posted_work& received) noexcept;
  void cancel() noexcept override { request_kill(); }
  const std::string& home_name() const noexcept override { return home_->name; }
  void begin() noexcept;
  void finish() noexcept;

  static constexpr std::uint32_t alive = 1U << 31;  // the reference of the fiber

  std::atomic<std::uint32_t> references_ = alive + 1;
  std::atomic<std::uint32_t> kills_ = 0;  // requested and not delivered
  // Its mutex also guards what follows. The state may be gone when the fiber's end unlocks it.
  const std::shared_ptr<handle_state> home_;
  std::source_location where_;
  extend::scheduler* starter_ = nullptr;  // it lives until it has been told the end; may be null
  std::condition_variable ended_;
  extend::intrusive_list<extend::remote_join_wait> waiters_;
  extend::fiber_base* callee_ = nullptr;  // set under the mutex by its thread
  std::exception_ptr error_;              // of the callee, or why there is none
  mutable std::atomic<bool> observed_ = false;
  message request_;
  message kill_;
  message end_;
};

/// With the type of its value.
template <class T>
class remote_fiber_state : public remote_fiber_base {
 public:
  using remote_fiber_base::remote_fiber_base;
  /// Precondition: result() is outcome::value.
  fiber_value<T>& value() const noexcept { return static_cast<fiber_state<T>&>(callee()).value(); }
};

/// With the function, until the fiber begins.
template <class T, class F, class... Args>
class remote_spawn final : public remote_fiber_state<T> {
 public:
  template <class... Given>
  remote_spawn(std::shared_ptr<handle_state> home, const std::source_location& where,
               Given&&... given)
      : remote_fiber_state<T>(std::move(home), where), function_(std::forward<Given>(given)...) {}

 private:
  extend::fiber_base* start(extend::scheduler& here, const std::source_location& where) override {
    return std::apply(
        [&](F& f, Args&... args) {
          return call_value<task<T>>().start(here, here.root_scope(), where, std::move(f),
                                             std::move(args)...);
        },
        function_);
  }

  std::tuple<F, Args...> function_;
};

}  // namespace ringlet::detail
