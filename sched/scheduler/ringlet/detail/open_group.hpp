// open_group: fibers that must not outlive a call of their starter, and how they are ended before
// that call is unwound. The base of task_group.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/context.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/intrusive_list.hpp>

#include <cstdint>
#include <optional>
#include <utility>

namespace ringlet::detail {

class open_group;

/// A fiber of a group. Holds a reference to it.
struct group_member : extend::done_watcher, extend::list_hook<open_group> {
  group_member(handler told, extend::fiber_base& child) noexcept
      : extend::done_watcher(told), who(&child) {
    who->add_reference();
  }
  ~group_member() { who->drop_reference(); }

  extend::fiber_base* who;
};

/// Thread: that of its starter, the fiber that constructs it.
class open_group {
 public:
  open_group(const open_group&) = delete;
  open_group& operator=(const open_group&) = delete;

  /// How many fibers of the group have not ended.
  std::size_t size() const noexcept { return alive_; }

  /// Called when the starter is about to be unwound: cancels all fibers of the group.
  void unwind() noexcept {
    unwound_ = true;
    cancel_members();
  }
  /// Whether its body continues when scopes inside it are unwound; see scope::mark_outer().
  bool is_outside_unwinding() const noexcept { return body_ && body_->stays(); }
  /// Whether the call that opened the group encloses `innermost`, and is not in a suspended
  /// greenlet. (Without a body, the fiber waits in that call.)
  bool is_open_around(const extend::scope& innermost) const noexcept {
    return !body_ || body_->encloses(innermost);
  }

  // For dump(): the group that the starter opened before this one, the scope around the fibers, and
  // the innermost scope of the starter around the call that opened the group.
  const open_group* older() const noexcept { return older_; }
  const extend::scope& around_fibers() const noexcept { return around_; }
  const extend::scope* around_call() const noexcept {
    return body_ ? body_->outer() : starter_.innermost_scope();
  }

 protected:
  /// Opens a group of the running fiber, its starter. The group is cancelled when the starter is
  /// about to be unwound.
  open_group();
  ~open_group() { starter_.remove_group(*this); }

  /// Adds a fiber that has not begun.
  void add_member(group_member& added) noexcept {
    added.who->watch(added);
    members_.push_back(added);
    ++alive_;
  }
  /// Called when the member's fiber has ended.
  void remove_member(group_member& ended) noexcept {
    static_cast<extend::list_hook<open_group>&>(ended).unlink();
    --alive_;
  }
  /// Called after the last member was removed: a starter that is held may continue.
  void tell_starter() noexcept {
    if (std::exchange(tells_starter_, false)) starter_.on_group_emptied(*this);
  }
  /// Interrupts all fibers of the group, and refuses new ones. Idempotent.
  void cancel_members() noexcept;

  extend::fiber_base& starter_;
  // Not inside the scopes of the starter. Their cancellation reaches the fibers through the
  // starter, which cancels the group when it is about to be unwound, and not while it is in a
  // shield.
  extend::scope around_;
  std::optional<extend::scope> body_;

 private:
  friend class ringlet::extend::fiber_base;

  open_group* older_ = nullptr;  // among the open groups of the starter
  open_group* newer_ = nullptr;
  open_group* next_cancelled_ = nullptr;
  extend::intrusive_list<group_member, open_group> members_;

 protected:
  std::uint32_t alive_ = 0;

 private:
  bool unwound_ = false;        // the starter must not unwind while its fibers are alive
  bool tells_starter_ = false;  // the starter is held and waits for this group
};

}  // namespace ringlet::detail
