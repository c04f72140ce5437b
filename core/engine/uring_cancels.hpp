// The pending cancellations of one ring: which operations they target, and which of them must be
// requested again.
//
//   - The kernel answers only cancel requests that fail. A request without an answer succeeded: it
//     ends with the completion of its operation, which then leaves its list here.
//   - An answer names its operation by address, and the operation may be gone by then. So the
//     address is looked up among the operations that are being cancelled, in a hash table that has
//     more buckets than the kernel's table for the same search. Taking an answer for one about a
//     later operation at the same address does no harm: that operation is being cancelled too, and
//     merely gets one cancel request more than necessary.
//   - Missed (ENOENT): the operation has completed, or it was moving from one queue of the kernel
//     to another, where the kernel does not look (a poll that became ready while it was being
//     armed). If all completions have been reaped and the operation's was not among them, the
//     cancellation is requested again.
//   - Told to stop (EALREADY): a kernel worker thread runs the operation and may be about to hand
//     it over to a poll, which the request then does not end. If the operation has not ended after
//     a pause, the cancellation is requested again. Each pause is twice as long as the previous
//     one, up to a limit.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/operation.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace ringlet::extend {

class uring_cancels {
 public:
  static constexpr steady_ns pause_min = 1'000'000;
  static constexpr steady_ns pause_max = 125'000'000;

  /// Adds a cancellation that found no room in the submission queue.
  void add_waiting(operation& op) noexcept { waiting_.push_back(op); }
  /// The oldest operation whose cancellation must still be requested, or null.
  operation* first_waiting() noexcept { return waiting_.next(nullptr); }
  /// The cancel request of `op` was queued.
  void sent(operation& op) noexcept {
    op.unlink();
    list_of(&op).push_back(op);
  }

  /// The kernel did not find the operation.
  void missed(const operation* target) noexcept;
  /// The kernel told its worker thread to stop the operation.
  void told_to_stop(const operation* target, steady_ns now) noexcept;
  /// All completions were reaped: the missed operations that are still here must be cancelled
  /// again.
  void all_reaped() noexcept {
    if (!missed_.empty()) [[unlikely]]
      waiting_.splice_back(missed_);
  }

  /// When to call ask_again(), or never.
  steady_ns due() const noexcept { return due_; }
  /// If the pause is over, the operations that were told to stop must be cancelled again.
  void ask_again(steady_ns now) noexcept;

 private:
  using list = intrusive_list<operation>;
  static constexpr unsigned lists_log2 = 9;

  list& list_of(const operation* op) noexcept {
    // The lower bits of all addresses are equal, and the upper bits nearly so. Multiplicative
    // hashing: Knuth, 6.4.
    const auto address = reinterpret_cast<std::uint64_t>(op);
    return sent_[(address * 0x9e3779b97f4a7c15) >> (64 - lists_log2)];
  }
  operation* find(const operation* target) noexcept;

  list waiting_;  // oldest first
  list missed_;
  list stopping_;
  std::array<list, std::size_t{1} << lists_log2> sent_;
  steady_ns due_ = never;
  steady_ns pause_ = pause_min;
};

}  // namespace ringlet::extend
