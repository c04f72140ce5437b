// The cancellations of one ring that are under way: which operations they are for, and which of
// them the kernel has to be asked for once more.
//
//   - One that was handed over and is not heard of was successful: the kernel answers the failed
//     ones only. It ends with the completion of its operation, which then leaves its list here.
//   - An answer names its operation by the address, and the operation may be gone by then. So it is
//     looked for among those that are being cancelled, in the list that the address belongs to:
//     there are more of these lists than the kernel has of its own for the same search. An answer
//     that is taken for one about a later operation at the same address does no harm: that one is
//     being cancelled, too, and the kernel is asked for it once more than necessary.
//   - Not found: the operation has completed, or it was on its way from one queue of the kernel to
//     another, where the kernel does not look (a poll that was found ready while it was armed).
//     Once all completions have been taken out and its own was not among them, it is asked for
//     again.
//   - Told to stop: a worker thread of the kernel runs it, and may be just about to hand it over to
//     a poll, which is then not ended. If it is still not over after a pause, it is asked for
//     again, and the next pause is twice as long, up to a limit.
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

  /// The kernel has yet to be asked: there was no room for it.
  void add_waiting(operation& op) noexcept { waiting_.push_back(op); }
  /// The oldest that the kernel has yet to be asked for, or null.
  operation* first_waiting() noexcept { return waiting_.next(nullptr); }
  /// The kernel is asked for it now.
  void sent(operation& op) noexcept {
    op.unlink();
    list_of(&op).push_back(op);
  }

  /// The kernel has not found it.
  void missed(const operation* target) noexcept;
  /// The kernel has told a worker thread of its own to stop it.
  void told_to_stop(const operation* target, steady_ns now) noexcept;
  /// All completions were taken out; those of `missed` that are left have to be asked for again.
  void all_reaped() noexcept {
    if (!missed_.empty()) [[unlikely]]
      waiting_.splice_back(missed_);
  }

  /// When to call ask_again(), or never.
  steady_ns due() const noexcept { return due_; }
  /// Those that were told to stop long enough ago have to be asked for again.
  void ask_again(steady_ns now) noexcept;

 private:
  using list = intrusive_list<operation>;
  static constexpr unsigned lists_log2 = 9;

  list& list_of(const operation* op) noexcept {
    // The lower bits are the same, the upper ones nearly (Knuth, 6.4: multiplicative hashing).
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
