// copy: moves bytes from a source to a sink until the source ends.
//
//     task<std::uint64_t> download(tcp_stream& peer, standard_stream& out) {
//       constexpr copy_options options{.idle_timeout = 30s};
//       co_return co_await copy(peer, out, options);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/byte_stream.hpp>
#include <ringlet/detail/bulk_splice.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <cstdint>

namespace ringlet {

/// Options of copy() and relay().
struct copy_options {
  /// The limit of each wait for bytes, and of each write of one buffer (options::sizes, 16 KiB): a
  /// sink that accepts less than that in this time counts as stuck. In bulk, of each wait for room
  /// in the sink; a source is then given up to 100 ms longer. A duration.
  time_limit idle_timeout = forever;
};

/// Writes everything that comes from `from` to `to`, until `from` ends. Returns the number of bytes
/// that were written. It does not end `to`: see shutdown_write(). The source is not read while the
/// sink accepts nothing, so a slow reader slows the writer down.
///
/// Errors    Those of the source and of the sink; errc::timed_out: see copy_options.
/// Cancellation  While it writes: the bytes of one buffer, or up to 256 KiB in bulk. The sink then
///           fails with errc::partial_transfer, unless none of them was written. While it waits for
///           the source: nothing. bytes_read() and bytes_written() of the two tell how far it got.
/// Lifetime  Borrows both.
/// Memory    One lent buffer while it writes. Between two sockets in bulk, instead, a pipe of two
///           descriptors, until nothing has come for 100 ms; without one, bytes are copied.
/// Kernel    splice(2), once four full buffers have come in a row from one connected socket to
///           another. It is used where it can be, and nothing depends on it.
template <byte_source Source, byte_sink Sink>
task<std::uint64_t> copy(Source& from, Sink& to, copy_options options = {}) {
  std::uint64_t total = 0;
  detail::bulk_splice<Source, Sink> bulk;
  for (;;) {
    if constexpr (bulk.is_possible) {
      if (bulk.is_due(from, to)) co_await bulk.splice(from, to, options.idle_timeout, total);
    }
    const buffer data = co_await from.receive(options.idle_timeout);
    if (data.empty()) co_return total;
    co_await to.write_all(data, options.idle_timeout);
    total += data.size();
    bulk.note_copied(from, data);
  }
}

}  // namespace ringlet
