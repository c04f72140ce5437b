// Sending a datagram: a single call, which a cancellation does not split.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/send_message_wait.hpp>

#include <poll.h>

#include <cerrno>

namespace ringlet::extend {

send_message_wait::send_message_wait(descriptor& on, std::span<const std::byte> bytes,
                                     time_limit timeout) noexcept
    : io_wait(on, opcode::poll, &send_message_wait::on_room, timeout),
      part_{const_cast<std::byte*>(bytes.data()), bytes.size()} {
  poll.events = POLLOUT;
}

bool send_message_wait::begin_send(const wait_type& type, frame_record& at) noexcept {
  if (!may_claim()) {
    answer = -EBADF;
    return begin_nothing(at);
  }
  if (!enter(at)) return continue_or_yield(at);
  claim(*at.chain);
  message_.msg_iov = &part_;
  message_.msg_iovlen = 1;
  if (try_to_send()) return continue_or_yield(at);
  fd = on().fd();
  suspend_external(type, at);
  wait_for_room();
  return true;
}

std::int32_t send_message_wait::send_part() noexcept {
  operation now(opcode::send_message, nullptr);
  now.data = &message_;
  answer = on().call(now);
  if (answer >= 0) on().count(direction::write) += part_.iov_len;
  return answer;
}

bool send_message_wait::try_to_send() noexcept {
  is_sent_ = send_part() >= 0;
  return answer != -EAGAIN;
}

void send_message_wait::wait_for_room() noexcept {
  if (restart()) return;
  answer = -ECANCELED;
  finish_transfer();
}

void send_message_wait::on_room(operation& op, const completion& done) noexcept {
  auto& self = static_cast<send_message_wait&>(op);
  const bool has_room = done.result >= 0 || detail::asks_to_retry(done.result);
  has_room ? self.try_again_now() : self.finish_transfer();
}

result<void> send_message_wait::take() {
  const claim_end last(*this);
  if (!has_claim()) rethrow_interruption();
  if (is_sent_) return {};
  return transfer_failure();
}

void send_message_wait::await_resume() {
  detail::value_or_throw(take(), "send", "the socket does not send datagrams to this address");
}

}  // namespace ringlet::extend
