// life_mark: whether an object in the frame of a coroutine is still alive.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringlet::detail {

/// Tells whether an object in a coroutine's frame is still alive: a cleared mark stays cleared
/// until the memory of the frame is reused.
class life_mark {
 public:
  bool is_set() const noexcept { return mark_ == alive; }
  // Volatile: compilers drop plain stores to objects that are about to end.
  void clear() noexcept { *static_cast<volatile std::uint8_t*>(&mark_) = 0; }

 private:
  static constexpr std::uint8_t alive = 0xa5;
  std::uint8_t mark_ = alive;
};

}  // namespace ringlet::detail
