// Segments, slabs and their locks; and the replacement for AddressSanitizer.
// SPDX-License-Identifier: MIT
#include "frame_store.hpp"

#include <algorithm>
#include <atomic>
#include <new>

#ifndef RINGLET_ASAN
#include <pthread.h>
#include <sys/mman.h>

#include <bit>
#include <iterator>
#include <mutex>
#include <type_traits>
#endif

namespace ringlet::detail {
namespace {

// Changed under a lock, read without one.
constinit std::atomic<std::size_t> mapped_bytes = 0;
constinit std::atomic<std::size_t> resident_bytes = 0;

void add(std::atomic<std::size_t>& total, std::size_t bytes) noexcept {
  total.fetch_add(bytes, std::memory_order_relaxed);
}
void subtract(std::atomic<std::size_t>& total, std::size_t bytes) noexcept {
  total.fetch_sub(bytes, std::memory_order_relaxed);
}

}  // namespace

#ifdef RINGLET_ASAN

frame_pool::statistics frame_store::totals() noexcept {
  const std::size_t bytes = mapped_bytes.load(std::memory_order_relaxed);
  return {bytes, resident_bytes.load(std::memory_order_relaxed), bytes};
}

frame_pool::block* frame_store::take(std::size_t index, std::int32_t, std::int32_t& count) {
  const std::size_t size = frame_pool::size_of(index);
  void* const memory =
      ::operator new(size, static_cast<std::align_val_t>(frame_pool::alignment_of(size)));
  add(mapped_bytes, size);
  add(resident_bytes, size);
  count = 1;
  return ::new (memory) block{nullptr};
}

void frame_store::give(std::size_t index, block* first) noexcept {
  const std::size_t size = frame_pool::size_of(index);
  while (first != nullptr) {
    block* const given = first;
    unpoison(given, size);
    first = given->next;
    ::operator delete(given, static_cast<std::align_val_t>(frame_pool::alignment_of(size)));
    subtract(mapped_bytes, size);
    subtract(resident_bytes, size);
  }
}

bool frame_store::release(std::size_t, std::size_t) noexcept { return false; }

void frame_store::prepare_for_fork() {}

#else

namespace {

using block = frame_store::block;

constexpr std::size_t slab_bytes = 32 * 1024;
constexpr std::size_t slab_count = 64;
constexpr std::size_t segment_bytes = slab_bytes * slab_count;
static_assert(slab_bytes >= frame_pool::pooled_max);
static_assert(slab_bytes % frame_pool::alignment_max == 0);

// A part of a segment. It is cut into blocks of one class on demand, from its beginning.
struct slab {
  slab* previous;  // links of the shelf's list, while the slab has room
  slab* next;
  block* free;           // returned blocks
  std::uint32_t cut;     // blocks made so far
  std::uint32_t in_use;  // blocks taken and not returned
};

// The head of a segment. A bit of `free` marks a slab that serves no class; a bit of `dirty` marks
// a free slab that was used and still holds memory of the system.
struct segment {
  segment* previous;
  segment* next;
  std::uint64_t free;
  std::uint64_t dirty;
  slab slabs[slab_count];  // the first describes this head, and is never free
};
static_assert(sizeof(segment) <= slab_bytes);
constexpr std::uint64_t all_slabs = ~std::uint64_t{1};

// A list of slabs or segments, last in, first out.
template <class T>
struct chain {
  T* first = nullptr;

  void push(T& added) noexcept {
    added.previous = nullptr;
    added.next = first;
    if (first != nullptr) first->previous = &added;
    first = &added;
  }
  void remove(T& gone) noexcept {
    (gone.previous != nullptr ? gone.previous->next : first) = gone.next;
    if (gone.next != nullptr) gone.next->previous = gone.previous;
  }
};

// The slabs of one class that have room. On its own cache line, so that threads that use different
// classes do not disturb each other.
struct alignas(64) shelf {
  chain<slab> with_room;
  std::size_t taken = 0;  // blocks
};

// The segments that have free slabs. Lock order: a class's lock before this one.
struct segment_store {
  std::mutex mutex;
  chain<segment> dirty;  // with memory in free slabs
  chain<segment> clean;
  std::size_t dirty_bytes = 0;
};

// Threads may end, and free frames, after static objects have been destroyed.
static_assert(std::is_trivially_destructible_v<std::mutex> &&
              std::is_trivially_destructible_v<shelf> &&
              std::is_trivially_destructible_v<segment_store>);
constinit shelf shelves[frame_pool::classes];
constinit segment_store segments;

// Classes share locks, because fork() takes all of them, and ThreadSanitizer ends a program in
// which one thread holds more than 64.
struct alignas(64) shelf_lock {
  std::mutex mutex;
};
constinit shelf_lock locks[32];

std::mutex& lock_of(std::size_t index) noexcept { return locks[index % std::size(locks)].mutex; }

std::uint32_t blocks_of_slab(std::size_t index) noexcept {
  return static_cast<std::uint32_t>(slab_bytes / frame_pool::size_of(index));
}

segment& segment_of(const void* inside) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(inside);
  return *reinterpret_cast<segment*>(address & ~(segment_bytes - 1));
}
slab& slab_of(const void* inside) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(inside);
  return segment_of(inside).slabs[address / slab_bytes % slab_count];
}
std::byte* memory_of(slab& described) noexcept {
  segment& whole = segment_of(&described);
  const auto number = static_cast<std::size_t>(&described - whole.slabs);
  return reinterpret_cast<std::byte*>(&whole) + number * slab_bytes;
}
std::uint64_t bit_of(const slab& described) noexcept {
  return std::uint64_t{1} << (&described - segment_of(&described).slabs);
}

void* map(std::size_t bytes) {
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory != MAP_FAILED ? memory : throw std::bad_alloc();
}

// The kernel puts mappings next to each other, so a mapping that follows an aligned one is usually
// aligned, too.
std::byte* map_segment() {
  void* const likely = map(segment_bytes);
  if (reinterpret_cast<std::uintptr_t>(likely) % segment_bytes == 0) {
    return static_cast<std::byte*>(likely);
  }
  ::munmap(likely, segment_bytes);
  auto* const twice = static_cast<std::byte*>(map(2 * segment_bytes));
  const std::size_t before =
      (segment_bytes - reinterpret_cast<std::uintptr_t>(twice) % segment_bytes) % segment_bytes;
  if (before != 0) ::munmap(twice, before);
  ::munmap(twice + before + segment_bytes, segment_bytes - before);
  return twice + before;
}

// Precondition, also of release(): the lock of the segments is held.
void add_segment() {
  auto* const added = ::new (map_segment()) segment;
  added->free = all_slabs;
  added->dirty = 0;
  segments.clean.push(*added);
  add(mapped_bytes, segment_bytes);
  add(resident_bytes, slab_bytes);
}

// Returns the memory of the free slabs to the system, or the whole segment if none is in use.
// Returns the number of bytes.
std::size_t release(segment& unused) noexcept {
  const std::size_t bytes = static_cast<std::size_t>(std::popcount(unused.dirty)) * slab_bytes;
  segments.dirty.remove(unused);
  segments.dirty_bytes -= bytes;
  subtract(resident_bytes, bytes);
  if (unused.free == all_slabs) {
    subtract(mapped_bytes, segment_bytes);
    subtract(resident_bytes, slab_bytes);
    ::munmap(&unused, segment_bytes);
    return bytes + slab_bytes;
  }
  while (unused.dirty != 0) {
    const int first = std::countr_zero(unused.dirty);
    const int count = std::countr_one(unused.dirty >> first);
    // Fails for memory that the program has locked; that memory stays.
    ::madvise(memory_of(unused.slabs[first]), static_cast<std::size_t>(count) * slab_bytes,
              MADV_DONTNEED);
    unused.dirty &= unused.dirty + (std::uint64_t{1} << first);
  }
  segments.clean.push(unused);
  return bytes;
}

// Returns a slab for a class. Precondition: the lock of that class is held.
slab& take_slab() {
  const std::lock_guard lock(segments.mutex);
  if (segments.dirty.first == nullptr && segments.clean.first == nullptr) add_segment();
  const bool used_before = segments.dirty.first != nullptr;
  segment& from = *(used_before ? segments.dirty.first : segments.clean.first);
  slab& taken = from.slabs[std::countr_zero(used_before ? from.dirty : from.free)];
  from.free &= ~bit_of(taken);
  if (used_before) {
    from.dirty &= ~bit_of(taken);
    segments.dirty_bytes -= slab_bytes;
    if (from.dirty == 0) {
      segments.dirty.remove(from);
      if (from.free != 0) segments.clean.push(from);
    }
  } else {
    add(resident_bytes, slab_bytes);
    if (from.free == 0) segments.clean.remove(from);
  }
  taken.free = nullptr;
  taken.cut = taken.in_use = 0;
  return taken;
}

void return_slab(slab& unused) noexcept {
  const std::lock_guard lock(segments.mutex);
  segment& owner = segment_of(&unused);
  if (owner.dirty == 0) {
    if (owner.free != 0) segments.clean.remove(owner);
    segments.dirty.push(owner);
  }
  owner.free |= bit_of(unused);
  owner.dirty |= bit_of(unused);
  segments.dirty_bytes += slab_bytes;
}

void lock_all() noexcept {
  for (shelf_lock& each : locks) each.mutex.lock();
  segments.mutex.lock();
}
void unlock_all() noexcept {
  segments.mutex.unlock();
  for (shelf_lock& each : locks) each.mutex.unlock();
}

}  // namespace

frame_pool::block* frame_store::take(std::size_t index, std::int32_t wanted, std::int32_t& count) {
  const std::size_t size = frame_pool::size_of(index);
  const std::uint32_t capacity = blocks_of_slab(index);
  block* first = nullptr;
  block** last = &first;
  count = 0;

  shelf& here = shelves[index];
  const std::lock_guard lock(lock_of(index));
  if (here.with_room.first == nullptr) here.with_room.push(take_slab());
  while (count < wanted && here.with_room.first != nullptr) {
    slab& from = *here.with_room.first;
    for (; count < wanted && from.free != nullptr; ++count, ++from.in_use) {
      *last = from.free;
      last = &from.free->next;
      from.free = from.free->next;
    }
    std::byte* const memory = memory_of(from);
    for (; count < wanted && from.cut < capacity; ++count, ++from.in_use, ++from.cut) {
      *last = ::new (memory + from.cut * size) block{nullptr};
      last = &(*last)->next;
    }
    if (from.in_use == capacity) here.with_room.remove(from);
  }
  *last = nullptr;
  here.taken += static_cast<std::size_t>(count);
  return first;
}

void frame_store::give(std::size_t index, block* first) noexcept {
  const std::uint32_t capacity = blocks_of_slab(index);
  shelf& here = shelves[index];
  const std::lock_guard lock(lock_of(index));
  while (first != nullptr) {
    block* const given = first;
    first = given->next;
    slab& owner = slab_of(given);
    given->next = owner.free;
    owner.free = given;
    --here.taken;
    if (owner.in_use == capacity) here.with_room.push(owner);
    if (--owner.in_use == 0) {
      here.with_room.remove(owner);
      return_slab(owner);
    }
  }
}

frame_pool::statistics frame_store::totals() noexcept {
  std::size_t taken = 0;
  for (std::size_t index = 0; index < frame_pool::classes; ++index) {
    const std::lock_guard lock(lock_of(index));
    taken += shelves[index].taken * frame_pool::size_of(index);
  }
  return {mapped_bytes.load(std::memory_order_relaxed),
          resident_bytes.load(std::memory_order_relaxed), taken};
}

bool frame_store::release(std::size_t portion, std::size_t reserve) noexcept {
  for (std::size_t released = 0; released < portion;) {
    const std::lock_guard lock(segments.mutex);  // per segment: no thread waits for the whole loop
    if (segments.dirty_bytes <= reserve) return false;
    released += detail::release(*segments.dirty.first);
  }
  return true;
}

void frame_store::prepare_for_fork() {
  // The thread that forks holds all locks, so in the child they are free and the data that they
  // guard is consistent.
  static const bool done = [] {
    if (::pthread_atfork(&lock_all, &unlock_all, &unlock_all) != 0) throw std::bad_alloc();
    return true;
  }();
  static_cast<void>(done);
}

#endif

}  // namespace ringlet::detail
