// The bases of waits for bytes: the claim on one direction of a descriptor, and one operation on
// it.
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

/// A wait that claims one direction of a descriptor, from the beginning of its call to its end.
/// `Wait` is wait_base or derives from it.
template <direction Which, class Wait>
class claiming_wait : public Wait {
 public:
  void describe(std::string& out) const { on_->describe(Which, out); }

 protected:
  template <class... Args>
  explicit claiming_wait(descriptor& on, Args&&... args) noexcept
      : Wait(std::forward<Args>(args)...), on_(&on) {}

  descriptor& on() const noexcept { return *on_; }

  /// False if calls in this direction are refused, because the descriptor is closed or an earlier
  /// call was cut short. Decided once: when the fiber resumes, the descriptor may be gone.
  bool may_claim() noexcept {
    if (on_->fd() >= 0 && !on_->is_partial(Which)) [[likely]]
      return true;
    refusal_ = on_->is_partial(Which) ? errc::partial_transfer : errc::closed;
    return false;
  }
  /// Why it was refused, or errc{}.
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
  /// Called by take(): the call is over when the wait is destroyed.
  class claim_end {
   public:
    explicit claim_end(claiming_wait& ended) noexcept : ended_(ended) {}
    claim_end(const claim_end&) = delete;
    claim_end& operator=(const claim_end&) = delete;
    ~claim_end() { ended_.end_claim(); }

   private:
    claiming_wait& ended_;
  };

  /// For calls of several steps: some of the bytes have been transferred.
  void note_begun() noexcept { is_begun_ = true; }
  bool is_begun() const noexcept { return is_begun_; }

 private:
  // These three use padding of the wait.
  bool has_claim_ = false;
  bool is_begun_ = false;
  errc refusal_ = {};
  descriptor* on_;
};

/// The base of waits for bytes that are operations: one per direction and descriptor.
template <direction Which>
class io_wait : public claiming_wait<Which, operation_wait> {
 protected:
  io_wait(descriptor& on, opcode kind, operation::handler completed, time_limit timeout) noexcept
      : claiming_wait<Which, operation_wait>(on, kind, completed, timeout) {}

  /// The handler calls this first: true if the kernel asked to try again and the operation was
  /// started again.
  bool try_again(const completion& done) noexcept {
    if (detail::asks_to_retry(*this, done.result)) [[unlikely]] {
      retry(done.result);
      return true;
    }
    return false;
  }
  /// Ends a call that has nothing to do, without an operation.
  bool begin_nothing(frame_record& at) noexcept {
    this->enter(at);
    return this->continue_or_yield(at);
  }
  /// Ends the wait.
  void finish_transfer() noexcept {
    // The shutdown(2) that begins a close may complete the operation before the cancellation does,
    // with the end of the stream or a broken pipe. The peer has caused neither.
    if (this->on().fd() < 0 && this->answer <= 0) this->answer = -ECANCELED;
    operation_wait::finish();
  }
  /// The error of a negative answer. Throws if an interruption ended the wait.
  std::error_code transfer_failure();

 private:
  // These two know nothing of a close and of lost errors.
  using operation_wait::failure;
  using operation_wait::finish;
  void retry(std::int32_t result) noexcept;
};

extern template class io_wait<direction::read>;
extern template class io_wait<direction::write>;

}  // namespace ringlet::extend
