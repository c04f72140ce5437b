// standard_streams: standard input and output, be they terminals, pipes, sockets or regular files.
#pragma once

#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/stream_waits.hpp>

#include <cstddef>
#include <span>
#include <string_view>

namespace ringlet {

/// A descriptor that the program was started with. Fibers wait for it as they do for a socket, and
/// the rules of tcp_stream apply. The descriptor stays open when the object is destroyed, and
/// O_NONBLOCK is never set on it, because other processes share it. Writing to a pipe without a
/// reader raises SIGPIPE, as usual.
class standard_stream {
 public:
  /// See standard_input() and standard_output().
  explicit standard_stream(int fd)
      : state_(extend::descriptor::make(fd, extend::descriptor::kind::borrowed)) {}

  /// Like tcp_stream::read_some(): 0 means end of file, or Ctrl-D on a terminal.
  extend::read_some_wait read_some(std::span<std::byte> memory, time_limit timeout = forever) {
    return extend::read_some_wait(*state_, extend::opcode::read, memory, timeout);
  }
  /// Like tcp_stream::read_exact().
  extend::read_exact_wait read_exact(std::span<std::byte> memory, time_limit timeout = forever) {
    return extend::read_exact_wait(*state_, extend::opcode::read, memory, timeout);
  }
  /// Like tcp_stream::write_all().
  extend::write_all_wait write_all(std::span<const std::byte> bytes, time_limit timeout = forever) {
    return extend::write_all_wait(*state_, extend::opcode::write, bytes, timeout);
  }
  extend::write_all_wait write_all(std::string_view text, time_limit timeout = forever) {
    return write_all(std::as_bytes(std::span(text)), timeout);
  }

  int native_handle() const noexcept { return state_->fd(); }

 private:
  friend class reader;
  extend::descriptor::owner state_;
};

/// Descriptor 0. Create one object and keep it: two objects do not know of each other's reads.
inline standard_stream standard_input() { return standard_stream(0); }
/// Descriptor 1.
inline standard_stream standard_output() { return standard_stream(1); }

}  // namespace ringlet
