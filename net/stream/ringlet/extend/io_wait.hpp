// The bases of waits for bytes: the claim on one direction of a descriptor, and one operation on
// it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/retry.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/operation_wait.hpp>
#include <ringlet/extend/wait.hpp>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

namespace ringlet::extend {

/// A wait that claims one direction of a descriptor for the duration of its call. `Wait` is
/// wait_base or derives from it.
template <direction Which, class Wait>
class claiming_wait : public Wait {
 public:
  void describe(std::string& out) const { on_->describe(Which, out); }

 protected:
  template <class... Args>
  explicit claiming_wait(descriptor& on, Args&&... args) noexcept
      : Wait(std::forward<Args>(args)...), on_(&on) {}
  /// For a wait that may turn out to need no descriptor: null, and then nothing is claimed.
  template <class... Args>
  explicit claiming_wait(descriptor* on, Args&&... args) noexcept
      : Wait(std::forward<Args>(args)...), on_(on) {}

  descriptor& on() const noexcept { return *on_; }

  /// False if calls in this direction are refused, because the descriptor is closed or an earlier
  /// call was cut short. Call it once, before the wait: when the fiber resumes, the descriptor may
  /// be gone.
  bool may_claim() noexcept {
    if (on_->fd() >= 0 && !on_->is_partial(Which)) [[likely]]
      return true;
    refusal_ = on_->is_partial(Which) ? errc::partial_transfer : errc::closed;
    return false;
  }
  /// Why the call was refused, or errc{}.
  errc refusal() const noexcept { return refusal_; }

  void claim(arrival_waiter& reader) noexcept requires(Which == direction::read) {
    on_->enter(reader);
    has_claim_ = true;
  }
  void claim(context& writer) noexcept requires(Which == direction::write) {
    on_->enter(writer);
    has_claim_ = true;
  }
  bool has_claim() const noexcept { return has_claim_; }
  /// The descriptor may be gone afterwards.
  void end_claim() noexcept {
    if (std::exchange(has_claim_, false)) on_->leave<Which>();
  }
  /// A scope guard for take(): ends the claim when take() returns.
  class claim_end {
   public:
    explicit claim_end(claiming_wait& ended) noexcept : ended_(ended) {}
    claim_end(const claim_end&) = delete;
    claim_end& operator=(const claim_end&) = delete;
    ~claim_end() { ended_.end_claim(); }

   private:
    claiming_wait& ended_;
  };

  /// For calls of several steps: records that some bytes have been transferred.
  void note_begun() noexcept { is_begun_ = true; }
  bool is_begun() const noexcept { return is_begun_; }

 private:
  // These three use padding of the wait.
  bool has_claim_ = false;
  bool is_begun_ = false;
  errc refusal_ = {};
  descriptor* on_;
};

/// The base of waits for bytes that make their own request. At most one per direction of a
/// descriptor.
template <direction Which>
class io_wait : public claiming_wait<Which, operation_wait> {
 protected:
  io_wait(descriptor& on, opcode kind, operation::handler completed, time_limit timeout) noexcept
      : claiming_wait<Which, operation_wait>(on, kind, completed, timeout) {}

  /// The completion handler calls this first. True if the kernel asked to try again; the operation
  /// has then been restarted, or the wait has ended because it was cancelled.
  bool try_again(const completion& done) noexcept {
    if (detail::asks_to_retry(*this, done.result)) [[unlikely]] {
      retry(done.result);
      return true;
    }
    return false;
  }
  /// For a call that needs no operation: there is nothing to transfer, or the call is refused.
  bool begin_nothing(frame_record& at) noexcept {
    this->enter(at);
    return this->continue_or_yield(at);
  }
  /// Ends the wait.
  void finish_transfer() noexcept {
    // The shutdown(2) at the start of a close may complete the operation before its cancellation,
    // with end of stream or EPIPE. The peer caused neither.
    if (this->on().fd() < 0 && this->answer <= 0) this->answer = -ECANCELED;
    operation_wait::finish();
  }
  /// The error of a negative answer. Throws if an interruption ended the wait.
  std::error_code transfer_failure();

 private:
  // Hidden, because they handle neither a close nor an error that would be lost.
  using operation_wait::failure;
  using operation_wait::finish;
  void retry(std::int32_t result) noexcept;
};

extern template class io_wait<direction::read>;
extern template class io_wait<direction::write>;

}  // namespace ringlet::extend
