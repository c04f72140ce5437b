// fiber_registry: the fibers of a scheduler that have not ended.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/intrusive_list.hpp>

#include <cstddef>
#include <cstdint>

namespace ringlet::extend {

class fiber_base;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// Tags the list of a scheduler's fibers.
struct registry_tag;

}  // namespace ringlet::detail

namespace ringlet::extend {

/// Thread: that of the scheduler.
class fiber_registry {
 public:
  /// How many fibers have not ended.
  std::size_t count() const noexcept { return count_; }
  /// Unique in the scheduler, counting from 1.
  std::uint64_t next_id() noexcept { return ++ids_; }

  inline void add(fiber_base& made) noexcept;
  inline void remove(fiber_base& ended) noexcept;
  /// Calls `visit` for each fiber, oldest first.
  template <class F>
  void for_each(F&& visit);

 private:
  intrusive_list<fiber_base, detail::registry_tag> fibers_;
  std::size_t count_ = 0;
  std::uint64_t ids_ = 0;
};

}  // namespace ringlet::extend
