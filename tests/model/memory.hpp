// memory: atomics, variables, mutexes and a wake-up descriptor of a program that is explored.
//
// Each atomic keeps its messages, one per store, in modification order. A load may return any
// message that is not older than what its thread has seen of that location; a store may go before
// newer messages that its thread has not seen. An acquire takes over what the message's release had
// seen; only read-modify-writes continue a release. A sequentially consistent operation is not
// older than the last sequentially consistent store. So the memory is that of C++20, with three
// differences: no thread sees a store before it is made (load buffering), there are no fences, and
// compare_exchange_weak() does not fail without reason.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <vector>

#include "model/explorer.hpp"

namespace ringlet::model {

namespace detail {

using number = std::uint64_t;

/// The messages of one atomic, without its type.
class location {
 public:
  location(number initial);
  location(const location&) = delete;
  location& operator=(const location&) = delete;
  ~location();

  bool is_newer(std::uint16_t a, std::uint16_t b) const {
    return messages_[a].position > messages_[b].position;
  }
  number load(std::memory_order order, const std::source_location& at);
  void store(number value, std::memory_order order, const std::source_location& at);
  /// Stores what `change` makes of the value, if anything, and returns the value.
  template <class F>
  number modify(F change, std::memory_order order, const std::source_location& at);

 private:
  struct message {
    number value;
    view released;
    std::uint16_t position;  // in modification order
    bool is_followed;        // by the store of a read-modify-write, which stays next to it
  };

  std::uint16_t oldest_visible(std::memory_order order) const;
  /// The messages that may be read, newest first.
  std::vector<std::uint16_t> visible(std::memory_order order, bool only_unfollowed) const;
  std::uint16_t insert(number value, std::uint16_t position, std::memory_order order);
  void see(std::uint16_t read, std::memory_order order);
  void note(const char* what, const std::string& place, number value) const;

  std::size_t index_;
  std::vector<message> messages_;    // in the order of their making
  std::uint16_t last_in_order_ = 0;  // the newest one of a sequentially consistent store
};

/// the name of the file, its line and column
const std::string& place_of(const std::source_location& at);
inline bool acquires(std::memory_order order) {
  return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst;
}
inline bool releases(std::memory_order order) {
  return order == std::memory_order_release || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst;
}

}  // namespace detail

/// In the place of std::atomic.
template <class T>
class atomic {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(detail::number));
  using place = std::source_location;

 public:
  atomic(T initial = T()) : location_(to_number(initial)) {}

  T load(std::memory_order order = std::memory_order_seq_cst, place at = place::current()) const {
    return from_number(location_.load(order, at));
  }
  void store(T value, std::memory_order order = std::memory_order_seq_cst,
             place at = place::current()) {
    location_.store(to_number(value), order, at);
  }
  T exchange(T value, std::memory_order order = std::memory_order_seq_cst,
             place at = place::current()) {
    return modify([value](T) { return std::optional<T>(value); }, order, at);
  }
  T fetch_add(T count, std::memory_order order = std::memory_order_seq_cst,
              place at = place::current()) {
    return modify([count](T value) { return std::optional<T>(value + count); }, order, at);
  }
  T fetch_sub(T count, std::memory_order order = std::memory_order_seq_cst,
              place at = place::current()) {
    return modify([count](T value) { return std::optional<T>(value - count); }, order, at);
  }
  /// When it fails, it has the order `otherwise`, which must be relaxed.
  bool compare_exchange_weak(T& expected, T desired, std::memory_order order,
                             std::memory_order otherwise, place at = place::current()) {
    expect(otherwise == std::memory_order_relaxed, "only a relaxed failure is modelled");
    const T wanted = expected;
    expected =
        modify([wanted, desired](
                   T value) { return value == wanted ? std::optional<T>(desired) : std::nullopt; },
               order, at);
    return expected == wanted;
  }

 private:
  template <class F>
  T modify(F change, std::memory_order order, const place& at) {
    return from_number(location_.modify(
        [&](detail::number value) {
          const std::optional<T> changed = change(from_number(value));
          return changed ? std::optional(to_number(*changed)) : std::nullopt;
        },
        order, at));
  }
  static detail::number to_number(T value) {
    detail::number stored = 0;
    std::memcpy(&stored, &value, sizeof value);
    return stored;
  }
  static T from_number(detail::number stored) {
    T value;
    std::memcpy(&value, &stored, sizeof value);
    return value;
  }

  mutable detail::location location_;
};

/// A variable that is not atomic: two uses of which one writes, and neither happens before the
/// other, fail the execution.
template <class T>
class variable {
 public:
  variable(T initial = T()) : value_(initial) {}
  variable(const variable&) = delete;
  variable& operator=(const variable&) = delete;
  variable& operator=(T value) {
    check_written();
    for (std::size_t i = 0; i < threads_max; ++i) {
      if (read_[i] > seen().times[i]) here().fail("a write races with a read");
    }
    value_ = value;
    writer_ = here().thread();
    if (writer_ >= 0) written_ = seen().times[static_cast<std::size_t>(writer_)];
    return *this;
  }
  operator T() const {
    check_written();
    if (!here().is_running()) return value_;
    const auto reader = static_cast<std::size_t>(here().thread());
    read_[reader] = seen().times[reader];
    return value_;
  }

 private:
  static detail::explorer& here() { return detail::explorer::here(); }
  static detail::view& seen() { return here().seen(); }
  void check_written() const {
    if (writer_ < 0 || !here().is_running()) return;
    if (written_ > seen().times[static_cast<std::size_t>(writer_)]) {
      here().fail("a variable is used that another thread writes");
    }
  }

  T value_;
  int writer_ = -1;
  std::uint32_t written_ = 0;
  mutable std::array<std::uint32_t, threads_max> read_{};
};

/// In the place of std::mutex.
class mutex {
 public:
  mutex();
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;
  ~mutex();
  void lock();
  void unlock();

 protected:
  bool orders_ = true;

 private:
  bool is_locked_ = false;
  detail::view released_;
};

/// An error to put into a program: what a thread did while it held the mutex may look undone to the
/// next one.
class weak_mutex : public mutex {
 public:
  weak_mutex() { orders_ = false; }
};

/// In the place of a descriptor that a thread sleeps on. It orders nothing else.
class wakeup {
 public:
  void notify();
  /// Sleeps until there was a notification since the last wait().
  void wait(const char* why = "a notification");
  int count() const noexcept { return count_; }

 private:
  int count_ = 0;  // all that came
  int taken_ = 0;
};

/// What templates of the library are given instead of what programs use.
struct modelled {
  template <class T>
  using atomic = model::atomic<T>;
  using mutex = model::mutex;
  static void yield() { detail::explorer::here().yield(); }
};

template <class F>
detail::number detail::location::modify(F change, std::memory_order order,
                                        const std::source_location& at) {
  explorer& here = explorer::here();
  const std::string& place = place_of(at);
  order = here.order_at(place, site::kind::exchange, order);
  here.step();
  here.check_exists(this);
  if (here.is_split(place)) {
    const std::vector<std::uint16_t> choices = visible(order, false);
    const std::uint16_t read = choices[here.choose_stale(choices.size())];
    see(read, order);
    const number before = messages_[read].value;
    note("loads", place, before);
    here.step();
    if (const std::optional<number> value = change(before)) {
      insert(*value, static_cast<std::uint16_t>(messages_.size()), order);
      note("stores", place, *value);
    }
    return before;
  }
  // A message that is followed cannot be changed, but may be seen by an operation that fails.
  std::vector<std::uint16_t> choices = visible(order, false);
  std::erase_if(choices, [&](std::uint16_t each) {
    return messages_[each].is_followed && change(messages_[each].value).has_value();
  });
  const std::uint16_t read = choices[here.choose_stale(choices.size())];
  const number before = messages_[read].value;
  const std::optional<number> value = change(before);
  see(read, value ? order : std::memory_order_relaxed);
  if (!value) {
    note("finds", place, before);
    return before;
  }
  messages_[read].is_followed = true;
  const view continued = messages_[read].released;
  const std::uint16_t added =
      insert(*value, static_cast<std::uint16_t>(messages_[read].position + 1), order);
  here.join(messages_[added].released, continued);
  note("exchanges", place, *value);
  return before;
}

}  // namespace ringlet::model
