// datagram_header: what opcode::receive_datagram puts in front of a datagram.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace ringlet::extend {

/// A buffer that receive_datagram has filled holds this header, then room for the address of the
/// sender, then room for control messages, then the datagram. `operation::data` is the form: a
/// msghdr, of which only msg_namelen and msg_controllen count; they are the sizes of those rooms.
/// The form must live until the operation is done, and its sizes must not change.
///
/// The result of a completion is the number of bytes in the buffer, all of this included, so that
/// an empty datagram has a positive result, too. Every completion may be the last.
/// Kernel    io_uring_recvmsg_out, io_uring_prep_recvmsg_multishot(3); Linux 6.0.
struct datagram_header {
  std::uint32_t name_size;     // of the address, which may not have fitted
  std::uint32_t control_size;  // of the control messages
  std::uint32_t size;          // of the datagram; with MSG_TRUNC also if it did not fit
  std::uint32_t flags;         // MSG_TRUNC: it did not fit
};

/// How many bytes of a buffer are in front of the datagram.
constexpr std::size_t datagram_offset(const msghdr& form) noexcept {
  return sizeof(datagram_header) + form.msg_namelen + form.msg_controllen;
}

/// A recvmsg(2) that fills memory in that layout. Not copyable: the message refers to its parts.
class datagram_layout {
 public:
  /// `memory` must be larger than datagram_offset(form).
  datagram_layout(const msghdr& form, std::span<std::byte> memory) noexcept
      : memory_(memory.data()),
        offset_(datagram_offset(form)),
        part_{memory.data() + offset_, memory.size() - offset_} {
    message_.msg_name = memory_ + sizeof(datagram_header);
    message_.msg_namelen = form.msg_namelen;
    message_.msg_control = memory_ + sizeof(datagram_header) + form.msg_namelen;
    message_.msg_controllen = form.msg_controllen;
    message_.msg_iov = &part_;
    message_.msg_iovlen = 1;
  }
  datagram_layout(const datagram_layout&) = delete;
  datagram_layout& operator=(const datagram_layout&) = delete;

  /// For the call, with MSG_TRUNC.
  msghdr& message() noexcept { return message_; }
  /// Writes the header. `size` is the result of the call, at least 0. Returns the number of bytes
  /// that the memory now holds.
  std::int32_t finish(std::int32_t size) noexcept {
    const datagram_header header{
        message_.msg_namelen, static_cast<std::uint32_t>(message_.msg_controllen),
        static_cast<std::uint32_t>(size), static_cast<std::uint32_t>(message_.msg_flags)};
    std::memcpy(memory_, &header, sizeof header);
    return static_cast<std::int32_t>(offset_ + std::min<std::size_t>(header.size, part_.iov_len));
  }

 private:
  std::byte* memory_;
  std::size_t offset_;
  iovec part_;
  msghdr message_{};
};

}  // namespace ringlet::extend
