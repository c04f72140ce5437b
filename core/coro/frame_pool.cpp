// The slow paths of the frame pool: exchanging blocks with the store, trimming, and thread exit.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/frame_pool.hpp>

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

#include "frame_store.hpp"

namespace ringlet::detail {
namespace {

// How many blocks a thread takes from the store at once: few enough to keep a program with few
// frames small, and other threads from waiting long.
constexpr std::int32_t taken_of(std::size_t index) noexcept {
  constexpr std::size_t bytes = 16 * 1024;
  constexpr std::size_t most = 128;
  return static_cast<std::int32_t>(
      std::clamp<std::size_t>(bytes / frame_pool::size_of(index), 1, most));
}

// A program that was just busy may soon be busy again, and memory from the system costs a multiple
// of memory from the store. The reserve is never returned to the system.
constexpr std::int64_t trim_delay = 500'000'000;  // ns
constexpr std::size_t trim_reserve = 512 * 1024;
// The kernel needs half a millisecond to reclaim this much.
constexpr std::size_t trim_portion = 16 * 1024 * 1024;

constinit std::atomic<bool (*)() noexcept> shortage = nullptr;

void throw_if_short() {
  const auto is_short = shortage.load(std::memory_order_relaxed);
  if (is_short != nullptr && is_short()) throw std::bad_alloc();
}

}  // namespace

thread_local constinit frame_pool_state frames_here;

/// Lives from a thread's first allocation to its end. Kept apart from the pool, because a
/// thread_local with a destructor is guarded at every access.
struct frame_pool_closer {
  frame_pool_closer() {
    frame_store::prepare_for_fork();
    for (std::size_t i = 0; i < frame_pool::classes; ++i) {
      frames_here.room[i] = frame_pool::kept_of(i);
    }
    frames_here.open = true;
  }
  ~frame_pool_closer() {
    frame_pool::hand_over();
    for (std::int32_t& room : frames_here.room) room = 0;
    frames_here.open = false;
    // Other threads trim only after giving blocks to the store themselves.
    if (frames_here.has_given) frame_store::release(~std::size_t{0}, trim_reserve);
  }
};

void frame_pool::refill(std::size_t index) {
  // While a test makes allocations fail, every allocation must come here.
  const bool tested = shortage.load(std::memory_order_relaxed) != nullptr;
  std::int32_t count = 0;
  frames_here.free[index] = frame_store::take(index, tested ? 1 : taken_of(index), count);
  frames_here.room[index] = kept_of(index) - count;
#ifdef RINGLET_ASAN
  for (block* b = frames_here.free[index]; b != nullptr;) {
    poison(std::exchange(b, b->next), size_of(index));
  }
#endif
}

void* frame_pool::allocate_slowly(std::size_t size) {
  throw_if_short();
  if (size > pooled_max) {
    return ::operator new(size, static_cast<std::align_val_t>(alignment_of(size)));
  }
  static thread_local frame_pool_closer closer;
  const std::size_t index = class_of(size);
  if (frames_here.open) {
    refill(index);
    return allocate(size);
  }
  // The thread is ending.
  std::int32_t count = 0;
  return frame_store::take(index, 1, count);
}

void frame_pool::deallocate_slowly(void* memory, std::size_t size) noexcept {
  if (size > pooled_max) {
    return ::operator delete(memory, static_cast<std::align_val_t>(alignment_of(size)));
  }
  const std::size_t index = class_of(size);
  ++frames_here.room[index];
  frames_here.has_given = true;
  auto* const first = ::new (memory) block{nullptr};
  if (frames_here.open) {
    // Gives half of the blocks to the store, so that the next such call is far away.
    for (std::int32_t left = kept_of(index) / 2; left > 0; --left) {
      block* const kept = frames_here.free[index];
      unpoison(kept, size_of(index));
      frames_here.free[index] = kept->next;
      ++frames_here.room[index];
      kept->next = first->next;
      first->next = kept;
    }
  }
  frame_store::give(index, first);
}

std::int64_t frame_pool::trim(std::int64_t now, std::int64_t deadline) noexcept {
  // A time further away is from the clock of a destroyed engine.
  const bool is_set = frames_here.trim_time != 0 && frames_here.trim_time - now <= trim_delay;
  if (!is_set) frames_here.trim_time = now + trim_delay;
  if (now < frames_here.trim_time) return std::min(deadline, frames_here.trim_time);
  hand_over();
  if (frame_store::release(trim_portion, trim_reserve)) return now;
  frames_here.trim_time = 0;
  frames_here.has_given = false;
  return deadline;
}

void frame_pool::hand_over() noexcept {
  for (std::size_t index = 0; index < classes; ++index) {
    block* const first = frames_here.free[index];
    if (first == nullptr) continue;
    for (block* b = first; b != nullptr; b = b->next) unpoison(b, size_of(index));
    frames_here.free[index] = nullptr;
    frames_here.room[index] = kept_of(index);
    frame_store::give(index, first);
  }
}

frame_pool::statistics frame_pool::totals() noexcept { return frame_store::totals(); }

void frame_pool::set_shortage(bool (*is_short)() noexcept) noexcept {
  shortage.store(is_short, std::memory_order_relaxed);
}

}  // namespace ringlet::detail
