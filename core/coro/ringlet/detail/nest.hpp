// How coroutines that yield nest.
//
// Coroutines form a nest when one yields everything that another yields, which may do the same with
// a third. The user holds the outermost coroutine, which knows the innermost, the leaf. Each
// resumption goes straight to the leaf, and each yielded value straight to the user, however deep
// the nest is.
//
//     user --resume()--> outermost ..leaf_..> leaf --outer_--> ... --outer_--> outermost
//
// Beginning or ending a part changes the leaf and returns to resume(), which continues with the new
// leaf. There are no transfers between coroutines, so the stack does not grow, with any compiler
// flags. A nest is destroyed by a loop, from the leaf outwards.
//
// A part belongs to the coroutine that yields from it. Its frame is destroyed when it has ended and
// its result has been taken, or with the nest.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/detail/returned.hpp>
#include <ringlet/elements_of.hpp>
#include <ringlet/extend/assert.hpp>

#include <coroutine>
#include <memory>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

/// One coroutine of a nest; see the head of this file.
class nest_node : public pooled_frame {
 public:
  enum class phase : unsigned char { fresh, suspended, running, ended };

  nest_node(const nest_node&) = delete;
  nest_node& operator=(const nest_node&) = delete;

  std::suspend_always initial_suspend() const noexcept { return {}; }
  auto final_suspend() const noexcept { return ending(); }
  /// A generator runs inside a call of its user and cannot wait; an async_generator can.
  template <class A>
  void await_transform(A&&) = delete;

  phase current_phase() const noexcept { return phase_; }
  bool has_ended() const noexcept { return phase_ == phase::ended; }

  /// Runs until a value is yielded, or to the end.
  void resume() {
    RINGLET_ASSERT(phase_ != phase::running, "a generator was resumed while it was running");
    RINGLET_ASSERT(phase_ != phase::ended, "a generator was resumed after its end");
    phase_ = phase::running;
    yielded_ = nullptr;
    do leaf_->self_.resume();
    while (yielded_ == nullptr && leaf_ != nullptr);
    if (leaf_ != nullptr) phase_ = phase::suspended;
  }

  /// Ends a coroutine that was not resumed yet: its body will never run.
  void end_unstarted() noexcept { phase_ = phase::ended; }

  /// The value that the leaf yielded; null unless suspended.
  void* yielded() const noexcept { return yielded_; }

  /// Records `value` as yielded: called in the leaf, by its co_yield.
  template <class T>
  void yield(T& value) noexcept {
    outermost_->yielded_ = const_cast<void*>(static_cast<const void*>(std::addressof(value)));
  }

  /// Makes `part` the leaf: called in the leaf, by its co_yield.
  void enter(nest_node& part) noexcept {
    RINGLET_ASSERT(part.phase_ != phase::running, "a generator was resumed while it was running");
    part.phase_ = phase::running;
    part.outer_ = this;
    part.leaf_->outermost_ = outermost_;
    outermost_->leaf_ = part.leaf_;
  }

  void destroy() noexcept {
    RINGLET_ASSERT(phase_ != phase::running, "a generator was destroyed while it was running");
    phase_ = phase::running;  // seen by the destructors that run now
    while (leaf_ != nullptr && leaf_ != this) {
      const nest_node& innermost = *leaf_;
      leaf_ = innermost.outer_;
      innermost.self_.destroy();
    }
    self_.destroy();
  }
  /// Destroys the frame of a part that has ended.
  void destroy_part() noexcept { self_.destroy(); }

 protected:
  explicit nest_node(std::coroutine_handle<> self) noexcept : self_(self) {}
  ~nest_node() = default;

  /// The coroutine that the user holds. Only the leaf knows it.
  nest_node& outermost() const noexcept { return *outermost_; }

 private:
  struct ending {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
      nest_node& part = ended.promise();
      part.phase_ = phase::ended;
      part.outermost_->leaf_ = part.outer_;
      if (part.outer_ != nullptr) part.outer_->outermost_ = part.outermost_;
    }
    void await_resume() const noexcept {}
  };

  std::coroutine_handle<> self_;
  nest_node* outer_ = nullptr;   // the coroutine that yields from this one; null for the outermost
  nest_node* outermost_ = this;  // up to date in the leaf
  nest_node* leaf_ = this;       // up to date in the outermost; null when it has ended
  void* yielded_ = nullptr;      // in the outermost
  phase phase_ = phase::fresh;   // a part is running from its beginning to its end
};

/// Destroys a nest through its outermost coroutine, which the user holds.
struct nest_destroyer {
  void operator()(nest_node* outermost) const noexcept { outermost->destroy(); }
};
template <class Promise>
using nest_owner = std::unique_ptr<Promise, nest_destroyer>;

/// The base of promises that yield; holds what the coroutine returned or threw.
template <class R, class Node = nest_node>
class yielding_promise : public Node, public returned<R> {
 public:
  /// Throws the exception that ended the coroutine, or moves out its return value.
  R take_result() {
    RINGLET_ASSERT(this->has_ended(), "the result of a generator was taken before its end");
    this->rethrow();
    if constexpr (!std::is_void_v<R>) {
      RINGLET_ASSERT(this->has_value(), "a generator that threw or was closed has no result");
      RINGLET_ASSERT(!std::exchange(taken_, true), "the result of a generator was taken twice");
      return this->take();
    }
  }

 protected:
  using Node::Node;

 private:
  bool taken_ = false;
};

/// What `co_yield elements_of(...)` awaits: enters the part, and returns its result.
template <class Part>
class part_awaiter {
 public:
  explicit part_awaiter(Part& part) noexcept : part_(&part) {}

  bool await_ready() const noexcept { return part_->has_ended(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> outer) noexcept {
    outer.promise().enter(*part_);
  }
  decltype(auto) await_resume() {
    const std::unique_ptr<Part, destroyer> owner(part_);
    return part_->take_result();
  }

 protected:
  struct destroyer {
    void operator()(Part* part) const noexcept { part->destroy_part(); }
  };
  Part* part_;
};

}  // namespace ringlet::detail
