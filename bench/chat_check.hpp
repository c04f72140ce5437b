// Whether one member gets every message of its room exactly once, and each sender's in order.
//
// In order is the rule, and costs one comparison with what is expected next of that sender. What is
// left out goes to a map of gaps; a message that comes later after all is taken out of its gap, so
// what comes late and what comes twice can be told apart, and what stays in a gap is lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

namespace bench {

/// What came of the messages, of all members together.
struct chat_tally {
  std::uint64_t delivered = 0;     // Once each.
  std::uint64_t lost = 0;          // Known when all is over.
  std::uint64_t doubled = 0;       // Came once more.
  std::uint64_t out_of_order = 0;  // Came after a later one of its sender.
  std::uint64_t foreign = 0;       // Lines that no member of this room sent so.

  bool is_good() const { return lost + doubled + out_of_order + foreign == 0; }
};

class chat_check {
 public:
  /// For a room of `senders` senders.
  explicit chat_check(std::size_t senders) : next_(senders) {}

  std::size_t senders() const noexcept { return next_.size(); }

  /// Message `sequence` of `sender` came.
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

  /// Whether `sent` messages of `sender` came, or are in a gap that others have passed.
  bool has_all(std::size_t sender, std::uint32_t sent) const noexcept {
    return next_[sender] >= sent;
  }
  bool has_gaps() const noexcept { return !gaps_.empty(); }

  /// Messages that were passed over and never came.
  std::uint64_t in_gaps() const {
    std::uint64_t sum = 0;
    for (const auto& [begin, end] : gaps_) sum += end - begin.second;
    return sum;
  }
  /// Messages of `sender`, of those `sent`, after the last that came.
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

  std::vector<std::uint32_t> next_;  // Of each sender: the number of the message to come.
  // {sender, first message that is missing} -> the one that came next.
  std::map<std::pair<std::size_t, std::uint32_t>, std::uint32_t> gaps_;
};

}  // namespace bench
