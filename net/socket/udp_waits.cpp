// Receiving and sending UDP datagrams.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/sanitizers.hpp>
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/datagram_header.hpp>
#include <ringlet/extend/udp_waits.hpp>

#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace ringlet::extend {
namespace {

// The most that one call may split: the size of an IPv4 datagram, and UDP_MAX_SEGMENTS of Linux
// before 6.9.
constexpr std::size_t split_bytes_max = 65'507;
constexpr std::size_t split_count_max = 64;
// A send buffer is seldom full, because the system hands datagrams on at once: without a limit, a
// large send would keep all other fibers waiting.
constexpr int calls_in_a_row = 16;

constexpr const char* no_datagrams = "the socket does not receive datagrams";

// Reads the header in front of a datagram.
datagram_header header_in(const std::byte* memory) noexcept {
  datagram_header header;
  std::memcpy(&header, memory, sizeof header);
  return header;
}

address sender_in(const std::byte* memory) noexcept {
  address sender;
  if (header_in(memory).name_size == 0) return sender;
  // All of the room, because a copy of a constant size is cheaper.
  std::memcpy(sender.data(), memory + sizeof(datagram_header), address::capacity);
  return sender;
}

// Whether the kernel, or this route, cannot split a message into datagrams.
bool cannot_split(std::int32_t error) noexcept {
  return error == -EINVAL || error == -EIO || error == -EMSGSIZE || error == -EOPNOTSUPP;
}

}  // namespace

const msghdr& udp_form() noexcept {
  static const msghdr form = [] {
    msghdr made{};
    made.msg_namelen = address::capacity;
    return made;
  }();
  return form;
}

const wait_type receive_udp_into_wait::type = make_type<receive_udp_into_wait>("receive_into");
const wait_type send_udp_wait::type = make_type<send_udp_wait>("send");
const wait_type send_segments_wait::type = make_type<send_segments_wait>("send_segments");

// receive

result<udp_datagram> receive_udp_wait::take() {
  if (answer_ <= 0) {
    const result<buffer> none = receive_wait::take();
    return none.error();
  }
  const claim_end last(*this);
  buffer_pool& pool = on().buffers();
  const auto front = static_cast<std::uint32_t>(datagram_offset(udp_form()));
  const std::uint32_t stored = static_cast<std::uint32_t>(answer_) - front;
  on().count(direction::read) += stored;
  udp_datagram got;
  const auto describe = [&got](const std::byte* memory) {
    const datagram_header header = header_in(memory);
    got.sender = sender_in(memory);
    got.size = header.size;
    got.is_truncated = (header.flags & MSG_TRUNC) != 0;
  };
  if (memory_ != nullptr) {
    describe(memory_);
    std::memmove(memory_, memory_ + front, stored);
    got.data = pool.lend_private(memory_, stored);
  } else {
    detail::unpoison(pool.at(buffer_), front);
    describe(pool.at(buffer_));
    pool.filled_at(buffer_).begin = front;
    got.data = pool.lend_filled(buffer_);
  }
  return got;
}

udp_datagram receive_udp_wait::await_resume() {
  return detail::value_or_throw(take(), "receive", no_datagrams);
}

// receive_into

receive_udp_into_wait::receive_udp_into_wait(descriptor& on, std::span<std::byte> memory,
                                             time_limit timeout) noexcept
    : read_wait(on, opcode::receive_message, &receive_udp_into_wait::on_completion, timeout),
      part_{memory.data(), memory.size()} {
  transfer.flags = MSG_TRUNC;  // the answer is the size of the datagram
}

bool receive_udp_into_wait::begin(frame_record& at) noexcept {
  message_.msg_iov = &part_;
  message_.msg_iovlen = 1;
  message_.msg_name = got_.sender.data();
  message_.msg_namelen = address::capacity;
  message_.msg_control = control_.data();
  message_.msg_controllen = control_.size();
  data = &message_;
  return begin_read(type, at);
}

bool receive_udp_into_wait::take_arrived() noexcept {
  std::int32_t id = completion::no_buffer;
  std::int32_t size = 0;
  if (!on().take_buffer(id, size)) return on().take_end(answer);
  const buffer arrived = on().buffers().lend_filled(id);
  const datagram_header header = header_in(arrived.data());
  const auto bytes = arrived.bytes().subspan(datagram_offset(udp_form()));
  const std::size_t stored = std::min(bytes.size(), part_.iov_len);
  if (stored != 0) std::memcpy(part_.iov_base, bytes.data(), stored);
  got_.size = got_.segment_size = header.size;
  got_.is_truncated = stored < header.size;
  got_.sender = sender_in(arrived.data());
  on().count(direction::read) += stored;
  answer = static_cast<std::int32_t>(header.size);
  note_begun();
  return true;
}

void receive_udp_into_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<receive_udp_into_wait&>(op);
  if (self.try_again(done)) return;
  if (done.result >= 0 && self.on().fd() >= 0) {
    self.got_.size = self.got_.segment_size = static_cast<std::size_t>(done.result);
    self.got_.is_truncated = (self.message_.msg_flags & MSG_TRUNC) != 0;
    self.note_segments();
    self.on().count(direction::read) += std::min(self.got_.size, self.part_.iov_len);
    self.note_begun();
  }
  self.finish_transfer();
}

// The kernel tells the size of the datagrams that it has put together.
void receive_udp_into_wait::note_segments() noexcept {
  for (cmsghdr* one = CMSG_FIRSTHDR(&message_); one != nullptr; one = CMSG_NXTHDR(&message_, one)) {
    if (one->cmsg_level != IPPROTO_UDP || one->cmsg_type != UDP_GRO) continue;
    int size = 0;
    std::memcpy(&size, CMSG_DATA(one), sizeof size);
    if (size > 0) got_.segment_size = static_cast<std::size_t>(size);
  }
}

result<received_udp> receive_udp_into_wait::take() {
  const claim_end last(*this);
  if (!has_claim()) rethrow_interruption();
  // A datagram that came when its fiber was interrupted is delivered, also if it is empty.
  if (!is_begun()) return transfer_failure();
  return got_;
}

received_udp receive_udp_into_wait::await_resume() {
  return detail::value_or_throw(take(), type.name, no_datagrams);
}

// send

send_udp_wait::send_udp_wait(descriptor& on, std::span<const std::byte> bytes, const address* to,
                             time_limit timeout) noexcept
    : send_message_wait(on, bytes, timeout), is_connected_(to == nullptr) {
  if (to != nullptr) to_ = *to;
}

bool send_udp_wait::begin(frame_record& at) noexcept {
  if (!is_connected_) set_peer(to_.data(), to_.size());
  return begin_send(type, at);
}

// send_segments

send_segments_wait::send_segments_wait(descriptor& on, std::span<const std::byte> bytes,
                                       std::size_t segment_size, const address* to,
                                       time_limit timeout)
    : send_message_wait(on, bytes, timeout),
      left_(bytes),
      segment_size_(segment_size),
      is_connected_(to == nullptr) {
  if (segment_size == 0 || segment_size > split_bytes_max) {
    throw std::invalid_argument("send_segments: the segment size " + std::to_string(segment_size) +
                                " is not from 1 to " + std::to_string(split_bytes_max));
  }
  if (to != nullptr) to_ = *to;
}

bool send_segments_wait::begin(frame_record& at) noexcept {
  if (!is_connected_) set_peer(to_.data(), to_.size());
  // Older kernels ignore the control message, and would send everything as one datagram.
  int size = 0;
  splits_ = left_.size() > segment_size_ &&
            detail::socket_calls::get_option(on(), IPPROTO_UDP, UDP_SEGMENT, size) >= 0;
  return begin_send(type, at);
}

// Chooses what the next call sends.
void send_segments_wait::aim() noexcept {
  const std::size_t count = std::min(split_count_max, split_bytes_max / segment_size_);
  const std::size_t most = splits_ ? count * segment_size_ : segment_size_;
  part_.iov_base = const_cast<std::byte*>(left_.data());
  part_.iov_len = std::min(left_.size(), most);
  message_.msg_control = nullptr;
  message_.msg_controllen = 0;
  if (part_.iov_len <= segment_size_) return;
  message_.msg_control = control_.data();
  message_.msg_controllen = control_.size();
  cmsghdr* const one = CMSG_FIRSTHDR(&message_);
  one->cmsg_level = IPPROTO_UDP;
  one->cmsg_type = UDP_SEGMENT;
  one->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
  const auto size = static_cast<std::uint16_t>(segment_size_);
  std::memcpy(CMSG_DATA(one), &size, sizeof size);
}

bool send_segments_wait::try_to_send() noexcept {
  for (int calls = 0; !left_.empty(); ++calls) {
    if (calls == calls_in_a_row) return false;  // waits for room, which is there
    aim();
    if (send_part() >= 0) {
      left_ = left_.subspan(part_.iov_len);
    } else if (message_.msg_control != nullptr && cannot_split(answer)) {
      splits_ = false;
    } else {
      return answer != -EAGAIN;
    }
  }
  is_sent_ = true;
  return true;
}

}  // namespace ringlet::extend
