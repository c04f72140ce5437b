// operation_wait: a wait for one operation of the engine.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/on_behalf_of.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/operation.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/fiber.hpp>

#include <string>
#include <system_error>
#include <type_traits>

namespace ringlet::extend {

/// The base of awaiters that start an operation and resume when it is done. Base is wait_base, or
/// two_phase_wait for waits that can be part of a select().
///
/// A derived class fills in the operation's fields. It may pass a handler of its own, which sees
/// completions before the fiber does and ends the wait with finish().
template <class Base>
class basic_operation_wait : protected operation, public Base {
 public:
  /// Asks the engine to end the operation early.
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;

 protected:
  basic_operation_wait(opcode kind, handler completed, time_limit timeout) noexcept
      : operation(kind, completed), Base(timeout) {}

  /// For await_suspend: the checkpoint, then the start. A derived class that must refuse the call
  /// does so first.
  bool begin_operation(const wait_type& type, frame_record& at) noexcept {
    if (!this->enter(at)) return this->continue_or_yield(at);
    this->suspend_external(type, at);
    engine().start(*this);
    return true;
  }
  /// For a handler: starts the operation again, and the wait continues. False if the wait was asked
  /// to end; the handler must then call finish().
  bool restart() noexcept {
    if (this->reason_ != cancel_reason::none || cancel_requested()) return false;
    const detail::on_behalf_of named(*this->fiber_);
    engine().start(*this);
    return true;
  }
  /// Ends the wait.
  void finish() noexcept {
    if constexpr (std::is_base_of_v<two_phase_wait, Base>) {
      this->conclude_external();
    } else {
      this->wake_external();
    }
  }

  /// Called first when a wait has ended: throws if an interruption kept the operation from
  /// starting.
  void rethrow_interruption_before_start() {
    if (current_state() == state::idle) this->rethrow_interruption();
  }
  /// The error of an operation with a negative result. Throws if an interruption ended the wait.
  std::error_code failure();
  extend::engine& engine() const noexcept { return this->fiber_->scheduler().engine(); }

  /// A handler for operations that complete once: ends the wait.
  static void on_done(operation& op, const completion&) noexcept {
    static_cast<basic_operation_wait&>(op).finish();
  }
};

extern template class basic_operation_wait<wait_base>;
extern template class basic_operation_wait<two_phase_wait>;

using operation_wait = basic_operation_wait<wait_base>;

}  // namespace ringlet::extend
