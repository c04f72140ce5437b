// engine_options: which engine a scheduler has, and how it is built.
//
//     engine_options large;
//     large.buffer_count = 1024;       // for bursts: 1,024 messages at once
//     large.buffer_size = 64 * 1024;   // for bulk
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringlet {

/// Which engine carries operations to the kernel.
enum class engine_kind : std::uint8_t {
  /// io_uring, or epoll if io_uring is refused.
  automatic,
  /// io_uring only: run() throws where it is refused.
  uring,
  /// epoll, also where io_uring would work.
  epoll,
};

/// How an engine is built. Only the buffer options concern epoll.
///
/// Errors    What is out of range makes run() throw std::invalid_argument, before it asks the
///           kernel.
/// Kernel    io_uring_setup(2), io_uring_register_buf_ring(3).
struct engine_options {
  /// Submission queue entries: how many requests can be started between two waits. A power of two
  /// up to 32,768.
  std::uint32_t submission_entries = 512;
  /// Completion queue entries: how many completions fit between two waits before the kernel has to
  /// allocate. A power of two from submission_entries to 65,536.
  std::uint32_t completion_entries = 8192;
  /// Buffers to lend for receive(), a power of two up to 32,768. More of them buy tolerance for
  /// bursts and make nothing faster: with short messages, 256 to 4,096 made no difference.
  std::uint32_t buffer_count = 128;
  /// Bytes per buffer, 1 to 1 GiB: the most that one receive() returns. Memory is taken only for
  /// pages that were ever filled.
  std::uint32_t buffer_size = 16 * 1024;
};

}  // namespace ringlet
