// Passing descriptors: the control data of messages, see unix(7) and cmsg(3).
// SPDX-License-Identifier: MIT
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/descriptor_waits.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace ringlet::extend {
namespace {

// As for other writes: see stream_waits.cpp.
constexpr std::size_t request_max = 256 * 1024;

std::size_t room_for(std::size_t descriptors) noexcept {
  return CMSG_SPACE(descriptors * sizeof(int));
}

}  // namespace

const wait_type send_descriptors_wait::type = make_type<send_descriptors_wait>("send_descriptors");
const wait_type receive_descriptors_wait::type =
    make_type<receive_descriptors_wait>("receive_descriptors");

// send_descriptors

send_descriptors_wait::send_descriptors_wait(descriptor& on, std::span<const int> sent,
                                             std::span<const std::byte> bytes, time_limit timeout)
    : io_wait(on, opcode::send_message, &send_descriptors_wait::on_completion, timeout),
      left_(bytes.size()),
      next_(const_cast<std::byte*>(bytes.data())) {
  if (sent.empty() || sent.size() > detail::descriptors_max) {
    detail::throw_error(std::make_error_code(std::errc::invalid_argument),
                        "cannot send " + std::to_string(sent.size()) + " descriptors",
                        "one message carries 1 to 253 of them");
  }
  RINGLET_ASSERT(!bytes.empty(), "send_descriptors() needs at least one byte to send them with");
  message_.header = {};
  message_.control = {};
  message_.header.msg_iov = &message_.part;
  message_.header.msg_iovlen = 1;
  message_.header.msg_control = message_.control.data();
  message_.header.msg_controllen = room_for(sent.size());
  cmsghdr* const first = CMSG_FIRSTHDR(&message_.header);
  first->cmsg_level = SOL_SOCKET;
  first->cmsg_type = SCM_RIGHTS;
  first->cmsg_len = CMSG_LEN(sent.size() * sizeof(int));
  std::memcpy(CMSG_DATA(first), sent.data(), sent.size_bytes());
}

bool send_descriptors_wait::begin(frame_record& at) noexcept {
  if (!may_claim()) {
    answer = -EBADF;
    return begin_nothing(at);
  }
  fd = on().fd();
  message_.part = {next_, std::min(left_, request_max)};
  data = &message_.header;
  if (!at.chain->interrupted()) claim(*at.chain);
  return begin_operation(type, at);
}

// The descriptors go with the first byte; bytes that a short send has left follow without them.
void send_descriptors_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<send_descriptors_wait&>(op);
  if (self.try_again(done)) return;
  if (done.result > 0) {
    const auto sent = static_cast<std::size_t>(done.result);
    self.note_begun();
    self.left_ -= sent;
    self.next_ += sent;
    self.on().count(direction::write) += sent;
    if (self.left_ != 0) {
      self.on().note_progress(direction::write);
      self.message_.header.msg_control = nullptr;
      self.message_.header.msg_controllen = 0;
      self.message_.part = {self.next_, std::min(self.left_, request_max)};
      if (self.restart()) return;
      self.answer = -ECANCELED;
    }
  }
  self.finish_transfer();
}

result<void> send_descriptors_wait::take() {
  const claim_end last(*this);
  if (!has_claim()) rethrow_interruption();
  if (left_ == 0) return {};
  const bool is_interrupted = reason_ == cancel_reason::interrupted;
  if ((answer == -ECANCELED || is_interrupted) && is_begun()) on().set_partial(direction::write);
  return transfer_failure();
}

void send_descriptors_wait::await_resume() {
  detail::value_or_throw(take(), type.name, "this kind of socket carries no descriptors");
}

// receive_descriptors

receive_descriptors_wait::receive_descriptors_wait(descriptor& on, std::span<std::byte> memory,
                                                   std::span<unique_fd> received,
                                                   time_limit timeout) noexcept
    : read_wait(on, opcode::receive_message, &receive_descriptors_wait::on_completion, timeout),
      received_(received.first(std::min(received.size(), detail::descriptors_max))) {
  RINGLET_ASSERT(!memory.empty(), "receive_descriptors() needs room for at least one byte");
  transfer.flags = MSG_CMSG_CLOEXEC;
  message_.header = {};
  message_.part = {memory.data(), std::min(memory.size(), request_max)};
  message_.header.msg_iov = &message_.part;
  message_.header.msg_iovlen = 1;
  message_.header.msg_control = message_.control.data();
  // Without room for a header the kernel would only say that descriptors were dropped.
  message_.header.msg_controllen = room_for(received_.size());
  data = &message_.header;
}

// Bytes that a request of receive() or readable() has taken: without their descriptors.
bool receive_descriptors_wait::take_arrived() noexcept {
  const std::size_t copied =
      on().copy_arrived({static_cast<std::byte*>(message_.part.iov_base), message_.part.iov_len});
  if (copied == 0) return on().take_end(answer);
  answer = static_cast<std::int32_t>(copied);
  return true;
}

void receive_descriptors_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<receive_descriptors_wait&>(op);
  if (self.try_again(done)) return;
  self.on().set_last_seen(done.nonempty);
  self.has_message_ = done.result >= 0;
  self.finish_transfer();
}

// Moves the descriptors of the message into the caller's array. Returns how many there are.
std::size_t receive_descriptors_wait::collect() noexcept {
  std::size_t count = 0;
  for (cmsghdr* at = CMSG_FIRSTHDR(&message_.header); at != nullptr;
       at = CMSG_NXTHDR(&message_.header, at)) {
    if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t arrived = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < arrived; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(at) + i * sizeof number, sizeof number);
      unique_fd one(number);
      // The control data may have padding with room for one more than was asked for.
      if (count < received_.size()) {
        received_[count] = std::move(one);
      } else {
        message_.header.msg_flags |= MSG_CTRUNC;
      }
      ++count;
    }
  }
  return count;
}

result<received_descriptors> receive_descriptors_wait::take() {
  const claim_end last(*this);
  if (!has_claim()) rethrow_interruption();
  if (answer < 0) return transfer_failure();
  if (answer == 0 && reason_ == cancel_reason::interrupted) rethrow_interruption();
  const auto bytes = static_cast<std::size_t>(answer);
  on().count(direction::read) += bytes;
  const std::size_t count = has_message_ ? collect() : 0;
  if (has_message_ && (message_.header.msg_flags & MSG_CTRUNC) != 0) {
    for (unique_fd& one : received_.first(std::min(count, received_.size()))) one.reset();
    on().set_partial(direction::read);
    return std::make_error_code(count >= received_.size() ? std::errc::message_size
                                                          : std::errc::too_many_files_open);
  }
  return received_descriptors{bytes, count};
}

received_descriptors receive_descriptors_wait::await_resume() {
  return detail::value_or_throw(take(), type.name);
}

}  // namespace ringlet::extend
