// bulk_splice: when copy() and relay() splice instead of copying, and the loop that does.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/as_result.hpp>
#include <ringlet/buffer.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/splice_waits.hpp>
#include <ringlet/extend/stream_waits.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace ringlet::detail {

/// A stream over a descriptor, whose calls are those of the descriptor and do nothing else.
template <class Stream>
concept over_descriptor = requires(const Stream& stream) {
  { extend::descriptor_access::of(stream) } -> std::same_as<extend::descriptor&>;
};
template <class Source>
concept splice_source = over_descriptor<Source> && requires(Source& from, time_limit timeout) {
  { from.receive(timeout) } -> std::same_as<extend::receive_wait>;
};
template <class Sink>
concept splice_sink = over_descriptor<Sink> &&
    requires(Sink& to, const buffer& data, time_limit timeout) {
  { to.write_all(data, timeout) } -> std::same_as<extend::write_all_wait>;
};

/// Tells when to splice. The calls for one piece cost about as much as copying 16 KiB does, so
/// pieces should be larger. Their size shows only when they are spliced: it is what has arrived
/// while the last one was written. A source that has delivered small ones is tried again later each
/// time.
class bulk_meter {
 public:
  /// A buffer was copied.
  void note_copied(bool is_full) noexcept {
    full_ = is_full ? std::min(full_ + 1, begins_after_) : 0;
  }
  bool is_due() const noexcept { return full_ == begins_after_ && !is_refused_; }

  void begin_splicing() noexcept { full_ = small_ = 0; }
  /// A piece of that size was spliced.
  void note_spliced(std::size_t size, std::size_t buffer_size) noexcept {
    small_ = size < large_piece * buffer_size ? small_ + 1 : 0;
    if (small_ == ends_after) begins_after_ = std::min(begins_after_ * 4, begins_after_max);
  }
  bool goes_on() const noexcept { return small_ < ends_after; }
  /// The system refused a pipe or a splice: not tried again.
  void note_refusal() noexcept { is_refused_ = true; }

 private:
  static constexpr int begins_after_max = 1024;
  static constexpr int ends_after = 4;
  static constexpr std::size_t large_piece = 4;  // in buffers

  int begins_after_ = 4;
  int full_ = 0;   // buffers copied in a row
  int small_ = 0;  // pieces spliced in a row
  bool is_refused_ = false;
};

/// How long the source may be silent before the pipe is given back.
inline constexpr std::chrono::milliseconds splice_pause{100};

/// Splices from one socket to another while bytes come in bulk, and adds what was written to
/// `moved`. When it returns, everything taken from the source has been written; receive()
/// continues.
template <splice_source Source, splice_sink Sink>
task<> splice_in_bulk(Source& from, Sink& to, bulk_meter& meter, time_limit idle_timeout,
                      std::uint64_t& moved) {
  using extend::descriptor_access;
  extend::splice_pipe pipe;
  meter.begin_splicing();
  if (!pipe.open(descriptor_access::of(to))) {
    meter.note_refusal();
    co_return;
  }
  while (meter.goes_on()) {
    const result<std::size_t> filled = co_await as_result(
        extend::splice_read_wait(descriptor_access::of(from), pipe, splice_pause));
    if (!filled) co_return meter.note_refusal();
    if (*filled == 0) co_return;
    meter.note_spliced(*filled, descriptor_access::of(from).buffers().size());
    while (!pipe.is_empty()) {
      moved += co_await extend::splice_write_wait(descriptor_access::of(to), pipe, idle_timeout);
    }
  }
}

/// One direction of a copy: what copy() and relay() tell and ask between two buffers. is_due() and
/// splice() are only for streams that make it possible.
template <class Source, class Sink>
class bulk_splice {
 public:
  static constexpr bool is_possible = splice_source<Source> && splice_sink<Sink>;

  /// After a buffer was copied.
  void note_copied(const Source& from, const buffer& data) noexcept {
    if constexpr (is_possible) {
      meter_.note_copied(data.size() == extend::descriptor_access::of(from).buffers().size());
    }
  }
  /// Whether to call splice() now. Not while a receive request of the source is in flight, or bytes
  /// that it has received wait: they come first. A request in bulk ends after a few buffers.
  bool is_due(const Source& from, const Sink& to) const noexcept {
    if (!meter_.is_due()) [[likely]]
      return false;
    const extend::descriptor& source = extend::descriptor_access::of(from);
    return !source.has_arrived() && !source.is_receiving() && source.is_connection() &&
           extend::descriptor_access::of(to).is_connection();
  }
  task<> splice(Source& from, Sink& to, time_limit idle_timeout, std::uint64_t& moved) {
    return splice_in_bulk(from, to, meter_, idle_timeout, moved);
  }

 private:
  bulk_meter meter_;
};

}  // namespace ringlet::detail
