// wake_lists: the part of a scheduler that wakes long lists of waits, a slice each turn.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/intrusive_list.hpp>

#include <cstddef>

namespace ringlet::extend {

/// A long list of waits, of which a scheduler wakes a slice each turn. See wake_list.
class sliced_list : public list_hook<sliced_list> {
 protected:
  /// Wakes at most `most` waits, and returns how many. Leaves the wake_lists by unlink() when none
  /// is left to wake.
  using waker = std::size_t (*)(sliced_list&, std::size_t most) noexcept;

  explicit sliced_list(waker wake_some) noexcept : wake_some_(wake_some) {}
  ~sliced_list() = default;

 private:
  friend class wake_lists;
  waker wake_some_;
};

class wake_lists {
 public:
  /// How many waits are woken in one turn.
  static constexpr std::size_t at_once_max = 256;

  bool empty() const noexcept { return lists_.empty(); }
  void add(sliced_list& longer) noexcept { lists_.push_back(longer); }
  void wake_some() noexcept;

 private:
  intrusive_list<sliced_list, sliced_list> lists_;
};

}  // namespace ringlet::extend
