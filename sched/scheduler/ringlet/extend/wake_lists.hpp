// wake_lists: the part of a scheduler that wakes long lists of waits, a slice each turn.
#pragma once

#include <ringlet/extend/intrusive_list.hpp>

#include <cstddef>

namespace ringlet::extend {

class wake_list;

/// See wake_list.
class wake_lists {
 public:
  /// How many waits are woken in one turn.
  static constexpr std::size_t at_once_max = 256;

  bool empty() const noexcept { return lists_.empty(); }
  inline void add(wake_list& longer) noexcept;
  void wake_some() noexcept;

 private:
  intrusive_list<wake_list, wake_list> lists_;
};

}  // namespace ringlet::extend
