// traffic_watch: sees when the calls of one stream wait, and when bytes move.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringlet::extend {

/// The two directions of bytes. Each may have one wait in flight.
enum class direction : std::uint8_t { read, write };

/// What a descriptor tells about its calls; see descriptor::set_watch(). The limits of a server's
/// connections are made of it. A call need not suspend between its begin and its end.
class traffic_watch {
 public:
  /// A call begins to wait for bytes, or for room.
  virtual void on_begin(direction which) noexcept = 0;
  /// Bytes have moved, in a call that continues.
  virtual void on_progress(direction which) noexcept = 0;
  /// The call has ended; `bytes` have moved in that direction since the descriptor was made.
  virtual void on_end(direction which, std::uint64_t bytes) noexcept = 0;
  /// The descriptor is closing, or was released: it reports no more, and may be gone soon.
  virtual void on_gone() noexcept = 0;

 protected:
  ~traffic_watch() = default;
};

}  // namespace ringlet::extend
