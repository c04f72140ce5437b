// Sending and receiving one datagram: a single operation, which a cancellation does not split.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/datagram_waits.hpp>
#include <ringlet/extend/scheduler.hpp>

#include <algorithm>
#include <cerrno>
#include <new>

namespace ringlet::extend {
namespace {

// How often to try again to send to a receiver whose queue is full.
constexpr steady_ns retry_pause = 10'000'000;

}  // namespace

const wait_type send_datagram_wait::type = make_type<send_datagram_wait>("send");
const wait_type receive_datagram_wait::type = make_type<receive_datagram_wait>("receive");

// send

send_datagram_wait::send_datagram_wait(descriptor& on, std::span<const std::byte> bytes,
                                       const unix_address* to, time_limit timeout) noexcept
    : send_message_wait(on, bytes, timeout) {
  if (to != nullptr) to_ = *to;
}

send_datagram_wait::~send_datagram_wait() {
  if (timers_ != nullptr) timers_->give_place();
}

bool send_datagram_wait::begin(frame_record& at) noexcept {
  if (!to_.name().empty()) set_peer(to_.data(), to_.size());
  return begin_send(type, at);
}

bool send_datagram_wait::try_to_send() noexcept {
  if (!to_.name().empty() && timers_ == nullptr) {
    try {
      fiber_->scheduler().timers().reserve_place();
      timers_ = &fiber_->scheduler().timers();
    } catch (const std::bad_alloc&) {
      answer = -ENOMEM;
      return true;
    }
  }
  return send_message_wait::try_to_send();
}

void send_datagram_wait::wait_for_room() noexcept {
  if (timers_ == nullptr) return send_message_wait::wait_for_room();
  timers_->arm(*this, fiber_->scheduler().now() + retry_pause, &send_datagram_wait::on_retry);
}

void send_datagram_wait::on_retry(timer_entry& due) noexcept {
  static_cast<send_datagram_wait&>(due).try_again_now();
}

void send_datagram_wait::on_cancel(cancel_reason reason) noexcept {
  if (!timer_entry::armed()) return operation_wait::on_cancel(reason);
  remember(reason);
  timers_->disarm(*this);
  answer = -ECANCELED;
  finish_transfer();
}

// receive

receive_datagram_wait::receive_datagram_wait(descriptor& on, std::span<std::byte> memory,
                                             time_limit timeout) noexcept
    : io_wait(on, opcode::receive_message, &receive_datagram_wait::on_completion, timeout),
      part_{memory.data(), memory.size()} {
  transfer.flags = MSG_TRUNC;  // the answer is the size of the datagram
}

bool receive_datagram_wait::begin(frame_record& at) noexcept {
  if (!may_claim()) {
    answer = -EBADF;
    return begin_nothing(at);
  }
  message_.msg_iov = &part_;
  message_.msg_iovlen = 1;
  message_.msg_name = from_.data();
  message_.msg_namelen = unix_address::capacity;
  data = &message_;
  fd = on().fd();
  if (!at.chain->interrupted()) claim(*this);
  return begin_operation(type, at);
}

void receive_datagram_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<receive_datagram_wait&>(op);
  if (self.try_again(done)) return;
  if (done.result >= 0 && self.on().fd() >= 0) self.note_begun();
  self.finish_transfer();
}

result<received_datagram> receive_datagram_wait::take() {
  const claim_end last(*this);
  if (!has_claim()) rethrow_interruption();
  // A datagram that came when its fiber was interrupted is delivered, also if it is empty.
  if (!is_begun()) return transfer_failure();
  received_datagram got;
  got.size = static_cast<std::size_t>(answer);
  got.is_truncated = (message_.msg_flags & MSG_TRUNC) != 0;
  got.sender = from_;
  got.sender.set_size(message_.msg_namelen);
  on().count(direction::read) += std::min(got.size, part_.iov_len);
  return got;
}

received_datagram receive_datagram_wait::await_resume() {
  return detail::value_or_throw(take(), type.name, "the socket does not receive datagrams");
}

}  // namespace ringlet::extend
