// select_set: waits for the first of several calls whose number is known only when the program
// runs, and whose types may differ.
//
//     select_set calls;
//     std::vector<select_part<job>> parts;
//     for (auto& inbox : inboxes) parts.push_back(calls.add([&inbox] { return inbox.pop(); }));
//     const auto stop = calls.add([&] { return stopped.wait(); });
//     for (;;) {
//       const std::size_t taken = co_await calls.first();
//       if (taken == stop) break;
//       handle(calls.get(parts[taken]));  // indexes count the calls of add()
//     }
//
// select() is for a fixed list of calls, select_each() for one call of each element of a range.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/select_set_wait.hpp>
#include <ringlet/extend/select_wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet {

/// Names a call of a select_set that returns a T. Copyable; compares with what first() returns.
template <class T>
class select_part {
 public:
  /// No call.
  select_part() noexcept = default;

  /// Its index, which first() returns when the call is taken.
  std::size_t index() const noexcept { return index_; }
  friend bool operator==(const select_part& part, std::size_t taken) noexcept {
    return part.index_ == taken;
  }

 private:
  friend class select_set;
  select_part(std::size_t index, std::uint64_t serial) noexcept : index_(index), serial_(serial) {}

  std::size_t index_ = ~std::size_t{0};
  std::uint64_t serial_ = 0;
};

/// What select_set::add() takes: a function without arguments that makes a call which select()
/// would accept.
template <class F>
concept makes_selectable = std::invocable<F&> && selectable<std::invoke_result_t<F&>>;

/// Several calls, of which first() takes one. It can be called again: each time all the calls are
/// made anew by the functions that were given to add(). As with select(), the calls that were not
/// taken lose nothing.
///
///     select_set calls;
///     const auto inbox = calls.add([&] { return jobs.pop(); });
///     if (co_await calls.first() == inbox) handle(calls.get(inbox));
///
/// Order     If several calls are ready at once, first() takes the next one behind the call that it
///           took last, in the order of add(), so a busy call does not starve the rest. Otherwise
///           it takes the call that becomes ready first.
/// Cost      first() takes time in proportion to size(), because it watches each object and then
///           leaves it. Waking takes the same time for any size. With thousands of sources that are
///           rarely ready, let each push into one queue instead.
/// Limits    What a call has taken is lost if it is not read. first() itself cannot be a part of a
///           select().
/// Errors    A call that ends with an error (a closed queue, a limit of its own that passed) counts
///           as taken, and get() throws the error. first() throws timed_out if its own limit passes
///           first, std::invalid_argument if the set is empty, and what a function throws.
/// Cancellation  Nothing is taken; success wins: a call that was taken can be read by get().
/// Lifetime  What the functions refer to must live until they are removed.
/// Thread    That of the calls. One fiber at a time uses a set; add() and remove() during a first()
///           abort, also in a function that it calls.
/// Memory    add() allocates; first(), waking and cancelling do not, unless a function does.
class select_set {
 public:
  select_set() noexcept = default;
  select_set(const select_set&) = delete;
  select_set& operator=(const select_set&) = delete;
  ~select_set();

  /// Adds a call: `make()` returns a wait, and is called by each first(). Indexes begin at 0; one
  /// that a removed call has left is used again.
  /// Lifetime  What the wait borrows must outlive first(), so push a variable, not a temporary.
  template <makes_selectable F>
  select_part<extend::value_of_made<F>> add(F make) {
    const slot& added =
        put(std::make_unique<extend::select_set_wait::part_made_by<F>>(std::move(make)));
    return {added.index, added.serial};
  }
  // For all other arguments: says what to write instead.
  template <class F>
  requires(!makes_selectable<std::remove_reference_t<F>>) select_part<bool> add(F&&) {
    static_assert(makes_selectable<std::remove_reference_t<F>>,
                  "add() takes a function without arguments that makes a wait which can be a part "
                  "of a select(): write [&] { return inbox.pop(); }");
    return {};
  }
  /// Removes a call. Aborts if it was removed before.
  template <class T>
  void remove(const select_part<T>& removed) noexcept {
    drop(removed.index_, removed.serial_);
  }

  /// How many calls there are.
  std::size_t size() const noexcept { return size_; }
  /// Whether there are none.
  bool empty() const noexcept { return size_ == 0; }

  /// Waits for the first of the calls, and returns its index.
  extend::select_set_wait first(time_limit timeout = forever) {
    make_calls();
    return {*this, timeout};
  }

  /// The value of the call that first() took; throws its error. Aborts if another call was taken,
  /// or if the value was read before. Read it before the next wait.
  template <class T>
  T get(const select_part<T>& taken) {
    return read<T>(taken.index_, taken.serial_).get();
  }
  /// The same, but returns the error instead of throwing it.
  template <class T>
  result<T> result_of(const select_part<T>& taken) {
    return read<T>(taken.index_, taken.serial_).take();
  }

 private:
  friend class extend::select_set_wait;
  static constexpr std::size_t none = ~std::size_t{0};

  struct slot {
    std::unique_ptr<extend::select_set_wait::part> what;  // null: free
    std::size_t index;
    std::uint64_t serial;
  };

  slot& put(std::unique_ptr<extend::select_set_wait::part> added);
  void drop(std::size_t index, std::uint64_t serial) noexcept;
  void make_calls();
  /// Destroys the calls that were made, except the one whose value can be read.
  void forget_calls() noexcept;
  void check_unused() const noexcept {
    RINGLET_ASSERT(
        !in_use_,
        "a select_set was used while a fiber waited in its first(), or by a function that "
        "first() calls");
  }
  template <class T>
  extend::select_set_wait::part_of<T>& read(std::size_t index, std::uint64_t serial) noexcept {
    RINGLET_ASSERT(
        taken_ != none && taken_ == index && slots_[index].serial == serial,
        "the value of a call of a select_set was read that first() had not taken, or twice");
    taken_ = none;
    return static_cast<extend::select_set_wait::part_of<T>&>(*slots_[index].what);
  }

  std::vector<slot> slots_;
  std::vector<std::size_t> free_;  // indexes of slots
  // What first() waits for, in the order in which it tries them, and the slot of each. Like free_,
  // they have room for every slot.
  std::vector<extend::selection::candidate> candidates_;
  std::vector<std::size_t> slots_of_candidates_;
  std::size_t size_ = 0;
  std::size_t taken_ = none;       // whose value can be read
  std::size_t last_taken_ = none;  // behind which the next first() begins
  bool in_use_ = false;
};

}  // namespace ringlet
