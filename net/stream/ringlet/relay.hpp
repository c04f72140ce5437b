// relay: copies between two streams, in both directions.
//
//     task<> forward(tcp_stream client, address server) {
//       tcp_stream onward = co_await tcp_stream::connect(server, 5s);
//       constexpr copy_options options{.idle_timeout = 10min};
//       const relayed moved = co_await relay(client, onward, options);
//       std::printf("%ju bytes there, %ju back\n", std::uintmax_t{moved.there},
//                   std::uintmax_t{moved.back});
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/as_result.hpp>
#include <ringlet/buffer.hpp>
#include <ringlet/byte_stream.hpp>
#include <ringlet/copy.hpp>
#include <ringlet/detail/bulk_splice.hpp>
#include <ringlet/error.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>
#include <ringlet/task_group.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <utility>

namespace ringlet {

/// What relay() returns.
struct relayed {
  /// How many bytes went from the first stream to the second.
  std::uint64_t there = 0;
  /// How many came back.
  std::uint64_t back = 0;
};

}  // namespace ringlet

namespace ringlet::detail {

/// What the two directions of a relay share.
struct relay_state {
  std::exception_ptr first_error;
  int directions_writing = 0;
};

/// Waits for bytes of one direction. Lets the limit pass while bytes move in the other one, or are
/// being written, which has a limit of its own.
template <byte_source From>
task<buffer> receive_to_relay(From& from, const relay_state& state, const relayed& moved,
                              time_limit idle_timeout) {
  for (;;) {
    const std::uint64_t before = moved.there + moved.back;
    result<buffer> got = co_await as_result(from.receive(idle_timeout));
    if (got) co_return *std::move(got);
    const bool is_idle = moved.there + moved.back == before && state.directions_writing == 0;
    if (is_idle || got.error() != errc::timed_out) ringlet::throw_error(got.error(), "relay");
  }
}

/// One direction: when its source ends, so does its sink. The first error of either direction ends
/// both.
template <byte_stream From, byte_stream To>
task<> relay_one_way(task_group& both, relay_state& state, From& from, To& to, copy_options options,
                     std::uint64_t relayed::*count, relayed& moved) {
  try {
    bulk_splice<From, To> bulk;
    for (;;) {
      if constexpr (bulk.is_possible) {
        if (bulk.is_due(from, to)) {
          ++state.directions_writing;
          co_await bulk.splice(from, to, options.idle_timeout, moved.*count);
          --state.directions_writing;
        }
      }
      const buffer data = co_await receive_to_relay(from, state, moved, options.idle_timeout);
      if (data.empty()) break;
      ++state.directions_writing;
      co_await to.write_all(data, options.idle_timeout);
      --state.directions_writing;
      moved.*count += data.size();
      bulk.note_copied(from, data);
    }
    co_await shutdown_write(to);
  } catch (const std::exception&) {
    if (state.first_error == nullptr) state.first_error = std::current_exception();
    both.cancel();
  }
}

template <byte_stream First, byte_stream Second>
task<> relay_both_ways(task_group& both, relay_state& state, First& first, Second& second,
                       const copy_options& options, relayed& moved) {
  both.spawn(relay_one_way<First, Second>, std::ref(both), std::ref(state), std::ref(first),
             std::ref(second), options, &relayed::there, std::ref(moved));
  both.spawn(relay_one_way<Second, First>, std::ref(both), std::ref(state), std::ref(second),
             std::ref(first), options, &relayed::back, std::ref(moved));
  co_return;
}

}  // namespace ringlet::detail

namespace ringlet {

/// Copies from `first` to `second` and back until both have ended. When one ends, the other one is
/// told by shutdown_write(), and may still answer: a half-closed connection stays half-closed. A
/// stream is not read while the other one accepts nothing. Neither stream is closed; the caller
/// does that, or destroys them.
///
/// Errors    The first error of either stream; errc::timed_out: see copy_options; a
///           direction may be silent while the other one is not. The other direction is ended
///           first. When a peer has disconnected, is_disconnect() is true of it.
/// Cancellation  As copy(), for each direction.
/// Lifetime  Borrows both streams.
/// Memory    Two fibers, and what copy() needs for each direction.
/// Kernel    As copy().
template <byte_stream First, byte_stream Second>
task<relayed> relay(First& first, Second& second, copy_options options = {}) {
  relayed moved;
  detail::relay_state state;
  co_await with_group(detail::relay_both_ways<First, Second>, std::ref(state), std::ref(first),
                      std::ref(second), options, std::ref(moved));
  if (state.first_error != nullptr) std::rethrow_exception(state.first_error);
  co_return moved;
}

}  // namespace ringlet
