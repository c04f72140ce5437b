// Receiving from descriptors that are no sockets.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/plain_waits.hpp>

#include <poll.h>

#include <cerrno>
#include <new>
#include <utility>

namespace ringlet::extend {

const wait_type plain_receive_wait::type = make_type<plain_receive_wait>("receive");
const wait_type plain_readable_wait::type = make_type<plain_readable_wait>("readable");

// receive

plain_receive_wait::~plain_receive_wait() {
  if (memory_ != nullptr) pool_->free_private(memory_);
}

bool plain_receive_wait::allocate() noexcept {
  if (on().fd() < 0) return true;  // begin_read() refuses the call
  pool_ = &on().buffers();
  try {
    memory_ = pool_->allocate_private();
  } catch (const std::bad_alloc&) {
    answer = -ENOMEM;
    return false;
  }
  data = memory_;
  length = pool_->size();
  return true;
}

bool plain_receive_wait::take_arrived() noexcept { return on().take_end(answer); }

void plain_receive_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<plain_receive_wait&>(op);
  if (!self.try_again(done)) self.finish_transfer();
}

result<buffer> plain_receive_wait::take() {
  const claim_end last(*this);
  if (!has_claim()) rethrow_interruption();
  if (answer < 0) return transfer_failure();
  if (answer == 0) {
    if (reason_ == cancel_reason::interrupted) rethrow_interruption();
    return buffer();
  }
  const auto size = static_cast<std::uint32_t>(answer);
  on().count(direction::read) += size;
  return pool_->lend_private(std::exchange(memory_, nullptr), size);
}

buffer plain_receive_wait::await_resume() {
  return detail::value_or_throw(take(), type.name, "this kind of descriptor cannot be read");
}

// readable

plain_readable_wait::plain_readable_wait(descriptor& on, time_limit timeout) noexcept
    : claiming_wait(on, opcode::poll, &plain_readable_wait::on_completion, timeout) {
  poll.events = POLLIN;
}

bool plain_readable_wait::try_now() noexcept {
  if (!may_claim()) return true;
  claim(*this);
  if (on().has_arrived()) return true;
  fd = on().fd();
  operation now(opcode::poll, nullptr);
  now.poll.events = POLLIN;
  answer = on().call(now);
  return answer != -EAGAIN;
}

void plain_readable_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<plain_readable_wait&>(op);
  if (self.retries_.wants(done.result)) {
    if (self.restart()) return;
    self.answer = -ECANCELED;
  }
  self.finish();
}

result<bool> plain_readable_wait::take() {
  rethrow_interruption();
  if (refusal() != errc{}) return make_error_code(refusal());
  if (on().has_arrived() || answer >= 0) return true;
  const std::error_code error = failure();
  if (error == errc::timed_out) return false;
  return error;
}

bool plain_readable_wait::await_resume() { return detail::value_or_throw(take(), type.name); }

}  // namespace ringlet::extend
