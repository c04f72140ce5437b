// Where a priority_queue keeps its items: in a balanced tree of nodes from the frame pool. Not in a
// heap: taking the first item out of a heap compares, which may throw, and moves other items.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/frame_pool.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <set>
#include <utility>

namespace ringlet::detail {

/// Memory from the frame pool, for containers of the standard library.
template <class T>
struct frame_allocator {
  using value_type = T;

  frame_allocator() noexcept = default;
  template <class U>
  frame_allocator(const frame_allocator<U>&) noexcept {}

  T* allocate(std::size_t count) { return static_cast<T*>(frames.allocate(count * sizeof(T))); }
  void deallocate(T* memory, std::size_t count) noexcept {
    frames.deallocate(memory, count * sizeof(T));
  }
  bool operator==(const frame_allocator&) const noexcept = default;
};

template <class T, class Compare>
class item_order {
 public:
  static constexpr bool compares = true;

  explicit item_order(Compare less = Compare()) : places_(place_less{std::move(less)}) {}
  item_order(const item_order&) = delete;
  item_order& operator=(const item_order&) = delete;

  bool empty() const noexcept { return places_.empty(); }
  T& front() noexcept { return *places_.begin()->item; }

  /// Puts it behind all items that are not greater. If that throws std::bad_alloc or what the
  /// comparator throws, `item` is as it was.
  void push(T&& item) { places_.emplace(&item)->settle(); }
  /// Precondition: not empty. Compares nothing.
  void drop_front() noexcept { places_.erase(places_.begin()); }

 private:
  static_assert(alignof(T) <= frame_pool::alignment_max,
                "an item of a queue asks for an alignment of more than 4096 bytes");

  // The tree finds a place for an item that is still with its caller, and then the item moves
  // there.
  struct place {
    explicit place(T* at_caller) noexcept : item(at_caller) {}
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    ~place() {
      if (is_settled()) std::destroy_at(item);
    }

    bool is_settled() const noexcept { return static_cast<void*>(item) == memory; }
    void settle() const noexcept { item = ::new (memory) T(std::move(*item)); }

    mutable T* item;
    alignas(T) mutable std::byte memory[sizeof(T)];
  };
  struct place_less {
    bool operator()(const place& left, const place& right) const {
      return less(std::as_const(*left.item), std::as_const(*right.item));
    }
    [[no_unique_address]] Compare less;
  };

  std::multiset<place, place_less, frame_allocator<place>> places_;
};

}  // namespace ringlet::detail
