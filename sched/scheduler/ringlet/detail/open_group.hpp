// open_group: fibers that must not outlive a call of their starter, and how they are ended before
// that call is unwound. The base of task_group.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/context.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/scope.hpp>

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

/// As a scope, it is around its fibers. That scope is not inside the scopes of the starter: their
/// cancellation reaches the fibers through the starter, which cancels the group when it is about to
/// be unwound, and not while it is in a shield.
/// Thread: that of its starter, the fiber that constructs it.
class open_group : private extend::scope {
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

  /// The scope that encloses `inner`. Around the fibers of a group, that is the innermost scope
  /// around the call that opened it. Null for the scope of a scheduler.
  static const extend::scope* outer_of(const extend::scope& inner) noexcept {
    if (!inner.is_of_group()) return inner.outer();
    return static_cast<const open_group&>(inner).around_call();
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

  /// The scope around its fibers.
  extend::scope& around() noexcept { return *this; }
  /// Whether cancel_members() was called.
  using extend::scope::is_cancelled;

  extend::fiber_base& starter_;
  std::optional<extend::scope> body_;

 private:
  friend class ringlet::extend::fiber_base;

  // The scopes of a suspended greenlet have no effect until it is resumed, and those that they were
  // inside of may have ended.
  const extend::scope* around_call() const noexcept {
    const extend::scope* const innermost = starter_.innermost_scope();
    return body_ && is_open_around(*innermost) ? body_->outer() : innermost;
  }

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
