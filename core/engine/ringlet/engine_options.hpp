// engine_options: which engine a scheduler has, and how it is built.
#pragma once

#include <cstdint>

namespace ringlet {

/// Which engine carries operations to the kernel.
enum class engine_kind : std::uint8_t {
  /// io_uring, or epoll if io_uring is refused.
  automatic,
  uring,
  epoll,
};

/// How an engine is built. Only the buffer options concern epoll.
struct engine_options {
  /// Submission queue entries: how many requests can be started between two waits. A power of two.
  std::uint32_t submission_entries = 512;
  /// Completion queue entries: how many completions fit between two waits before the kernel has to
  /// allocate. A power of two, at least submission_entries.
  std::uint32_t completion_entries = 8192;
  /// Buffers to lend for receive(), a power of two up to 32,768. io_uring recycles them first in,
  /// first out: more than fit into the L2 cache cost speed and buy tolerance for bursts.
  std::uint32_t buffer_count = 128;
  /// Bytes per buffer: the most that one receive() returns. Memory is taken only for pages that
  /// were ever filled.
  std::uint32_t buffer_size = 16 * 1024;
};

}  // namespace ringlet
