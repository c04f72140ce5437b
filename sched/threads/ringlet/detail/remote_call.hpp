// remote_call: a call that another scheduler makes for a fiber that waits for it.
//
// The call lives with the waiting fiber, and carries all messages: the request, a kill, and the
// answers to both. So a call allocates nothing but its callee, and no full mailbox refuses it. It
// is over when the request and the last kill have been answered: then the other thread does not
// touch it any more.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/handle_state.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/scope.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <string>

namespace ringlet::detail {

/// The scheduler that makes a call.
struct call_target {
  /// The scheduler of that number in this thread's runtime; without a runtime, number 0 is this
  /// thread's scheduler. Aborts if there is none.
  static call_target at(std::size_t index) noexcept;

  /// For messages.
  const std::string& name() const noexcept;
  /// False if it has ended.
  bool post(extend::posted_work& work) const noexcept;

  extend::scheduler* near = nullptr;    // it lives as long as any fiber of this thread
  std::shared_ptr<handle_state> state;  // null if `near` is set
};

/// Around the callee of a shielded call: keeps a shutdown of its scheduler from ending it.
class inherited_shield : public extend::scope {
 public:
  explicit inherited_shield(extend::scope& outer) noexcept : extend::scope(outer) {
    hold_back(true);
  }
};

class remote_call : private extend::done_watcher {
 public:
  remote_call(const remote_call&) = delete;
  remote_call& operator=(const remote_call&) = delete;

 protected:
  /// How it ended, once it is over.
  enum class end : std::uint8_t {
    pending,
    value,
    /// The callee threw error().
    error,
    /// The callee was killed.
    killed,
    /// One of the two schedulers does not begin calls any more.
    refused,
  };

  remote_call() noexcept;
  ~remote_call() = default;

  // On the caller's thread.

  /// Sends the request. False if the call is over already, because it was refused.
  bool send(const call_target& to, const extend::fiber_base& caller,
            const std::source_location& site) noexcept;
  /// Kills the callee. To be called while the call is not over. A second kill throws a second time.
  void send_kill() noexcept;
  /// Called when the call is over.
  virtual void on_over() noexcept = 0;

  end how() const noexcept { return end_; }
  const std::exception_ptr& error() const noexcept { return error_; }

  // On the callee's thread.

  /// Makes the fiber of the callee; or calls a function that does not wait, and returns null. May
  /// throw.
  virtual extend::fiber_base* start(extend::scheduler& here, extend::scope& around,
                                    const std::source_location& site) = 0;
  /// Takes the value of the callee. May throw.
  virtual void collect(extend::fiber_base& ended) = 0;

 private:
  struct message : extend::posted_work {
    remote_call* call;
  };

  static void on_request(extend::posted_work& received) noexcept;
  static void on_kill(extend::posted_work& received) noexcept;
  static void on_callee_ended(extend::done_watcher& watcher) noexcept;
  static void on_answer(extend::posted_work& received) noexcept;
  static void on_kill_answer(extend::posted_work& received) noexcept;
  void make_callee(extend::scheduler& here);
  void take(extend::fiber_base& ended) noexcept;
  void answer() noexcept;
  void post_kill() noexcept;

  // The caller's.
  const call_target* to_ = nullptr;
  extend::engine* caller_ = nullptr;
  std::uint32_t kills_left_ = 0;
  bool kill_in_flight_ = false;
  bool is_answered_ = false;
  // The callee's, until the answer.
  bool is_shielded_ = false;
  bool has_ended_ = false;
  end end_ = end::pending;
  extend::fiber_base* callee_ = nullptr;
  std::exception_ptr error_;
  std::source_location site_;
  std::optional<inherited_shield> shield_;
  message request_;
  message answer_;
  message kill_;
};

}  // namespace ringlet::detail
