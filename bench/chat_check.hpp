// Checks that one member gets every message of its room exactly once, and each sender's in order.
//
// A message in order, the usual case, costs one comparison with the next number expected of that
// sender. Skipped messages go to a map of gaps. A message that arrives late is removed from its
// gap, so late and duplicate messages can be distinguished; messages that stay in a gap are lost.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

namespace bench {

/// The outcome of all messages, for all members together.
struct chat_tally {
  std::uint64_t delivered = 0;     // Without duplicates.
  std::uint64_t lost = 0;          // Known at the end of the run.
  std::uint64_t doubled = 0;       // Arrived again.
  std::uint64_t out_of_order = 0;  // Arrived after a later message of the same sender.
  std::uint64_t foreign = 0;       // Lines that no member of the room sent in this form.

  bool is_good() const { return lost + doubled + out_of_order + foreign == 0; }
};

class chat_check {
 public:
  /// For a room of `senders` senders.
  explicit chat_check(std::size_t senders) : next_(senders) {}

  std::size_t senders() const noexcept { return next_.size(); }

  /// Message `sequence` of `sender` has arrived.
  void on_message(std::size_t sender, std::uint32_t sequence, chat_tally& tally) {
    std::uint32_t& next = next_[sender];
    if (sequence != next) [[unlikely]] {
      if (sequence < next) return on_late(sender, sequence, tally);
      gaps_[{sender, next}] = sequence;
      next = sequence;
    }
    ++next;
    ++tally.delivered;
  }

  /// Whether the first `sent` messages of `sender` have arrived or are in a gap.
  bool has_all(std::size_t sender, std::uint32_t sent) const noexcept {
    return next_[sender] >= sent;
  }
  bool has_gaps() const noexcept { return !gaps_.empty(); }

  /// The number of messages that were skipped and never arrived.
  std::uint64_t in_gaps() const {
    std::uint64_t sum = 0;
    for (const auto& [begin, end] : gaps_) sum += end - begin.second;
    return sum;
  }
  /// How many of the `sent` messages of `sender` are missing after the last one that arrived.
  std::uint64_t missing_at_end(std::size_t sender, std::uint32_t sent) const noexcept {
    return sent > next_[sender] ? sent - next_[sender] : 0;
  }

 private:
  void on_late(std::size_t sender, std::uint32_t sequence, chat_tally& tally) {
    auto after = gaps_.upper_bound({sender, sequence});
    const bool is_missing = after != gaps_.begin() && std::prev(after)->first.first == sender &&
                            sequence < std::prev(after)->second;
    if (!is_missing) {
      ++tally.doubled;
      return;
    }
    const auto gap = std::prev(after);
    const auto [begin, end] = *gap;
    gaps_.erase(gap);
    if (begin.second < sequence) gaps_[begin] = sequence;
    if (sequence + 1 < end) gaps_[{sender, sequence + 1}] = end;
    ++tally.out_of_order;
    ++tally.delivered;
  }

  std::vector<std::uint32_t> next_;  // For each sender, the number of the next message.
  // {sender, first missing message} -> the next message that arrived.
  std::map<std::pair<std::size_t, std::uint32_t>, std::uint32_t> gaps_;
};

}  // namespace bench
