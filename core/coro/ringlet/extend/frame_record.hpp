// What every coroutine of a chain records, and the trail of an exception that leaves coroutines.
// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <type_traits>

namespace ringlet::extend {

class context;

/// What every coroutine of a chain records, so that a suspended chain can be resumed and printed.
/// Every promise begins with it, and has an alignment of at most 16 bytes.
struct frame_record {
  /// The chain that the coroutine runs in; null until it is started.
  context* chain = nullptr;
  /// The coroutine that awaits this one; null for the root of a chain.
  frame_record* parent = nullptr;
  /// Where this coroutine awaits, or last awaited.
  std::source_location site;

  /// The handle of this coroutine, computed from the address: with an alignment of at most 16
  /// bytes, every promise has the same offset from the beginning of its frame.
  std::coroutine_handle<> self() noexcept {
    return std::coroutine_handle<frame_record>::from_promise(*this);
  }
};

}  // namespace ringlet::extend

namespace ringlet::detail {

/// For the constructor of a promise.
template <class Promise>
constexpr void check_promise() noexcept {
  static_assert(std::is_base_of_v<extend::frame_record, Promise> && alignof(Promise) <= 16,
                "the handle of a coroutine could not be computed from its frame_record");
}

/// The await sites that the newest exception of this thread has passed, innermost first. A report
/// of the failure can still name them when the frames have been destroyed.
struct failure_trail {
  static constexpr std::size_t sites_max = 8;
  const extend::context* chain = nullptr;
  const extend::frame_record* next =
      nullptr;  // the coroutine that it has reached; null beyond the root
  std::source_location site_of_next;
  std::size_t count = 0;
  std::source_location sites[sites_max];
  std::uint64_t owner = 0;  // for the runner of the chain: the fiber whose failure it has become
};
failure_trail& last_failure() noexcept;
/// Called by promises when an exception is about to leave the coroutine `left`.
[[gnu::cold]] void note_failure(const extend::frame_record& left) noexcept;

}  // namespace ringlet::detail
