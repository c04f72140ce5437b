// scope: a region of one fiber's calls that can be cancelled as a whole.
// SPDX-License-Identifier: MIT
#pragma once

namespace ringlet::extend {

class context;

/// A region of one fiber's calls that can be cancelled as a whole. Scopes nest. Once a scope is
/// cancelled, every wait inside throws `cancelled`, each time. Thread: its context's.
class scope {
 public:
  explicit scope(context& owner) noexcept;
  /// A scope inside `outer`, around several contexts that are made inside it and refer to it.
  explicit scope(scope& outer) noexcept : outer_(&outer) {}
  /// The outermost scope of a ready queue: around all of its contexts.
  scope() noexcept = default;
  scope(const scope&) = delete;
  scope& operator=(const scope&) = delete;
  ~scope();

  bool is_cancelled() const noexcept { return cancelled_; }
  /// Ends the owner's current wait, and every later wait inside. Idempotent. For a scope around
  /// several contexts, their holder interrupts them.
  void cancel() noexcept;

  /// For fibers that unwind: marks the scopes around this one as staying, or removes the mark.
  void mark_outer(bool stays) noexcept {
    for (scope* s = outer_; s != nullptr; s = s->outer_) s->stays_ = stays;
  }
  bool stays() const noexcept { return stays_; }
  /// The enclosing scope; null for that of a ready queue, and for that of a group.
  const scope* outer() const noexcept { return outer_; }
  /// Whether it is the outermost scope of the contexts of a group, which belongs to a context.
  bool is_of_group() const noexcept { return is_of_group_; }
  bool holds_back() const noexcept { return holds_back_; }
  /// Whether `inner` is this scope or inside it.
  bool encloses(const scope& inner) const noexcept {
    const scope* s = &inner;
    while (s != nullptr && s != this) s = s->outer_;
    return s == this;
  }

  /// Moves the scopes from this one outwards, up to but excluding `old_base`, onto `base`.
  void move_onto(const scope& old_base, scope& base) noexcept;
  /// For calls that are destroyed instead of ended: the scopes from this one outwards, up to but
  /// excluding `base`, may be destroyed in any order. (A coroutine destroys its scope before a call
  /// that it was passed, which may have scopes of its own.)
  void abandon(const scope& base) noexcept {
    for (scope* s = this; s != &base; s = s->outer_) s->is_abandoned_ = true;
  }

 protected:
  struct of_group {};
  explicit scope(of_group) noexcept : is_of_group_(true) {}

  /// Sets whether the scope holds back interruptions from outside: kills of the owner, and
  /// cancelled scopes around it; the latter also for other contexts inside. They stay pending. A
  /// scope without an owner may do so from the beginning, while it has no context inside.
  void hold_back(bool on) noexcept;

 private:
  friend class context;

  /// Whether waits inside must end immediately: this scope is cancelled, or an outer scope is that
  /// is not held back.
  bool ends_waits() const noexcept {
    if (outer_ == nullptr) return cancelled_;  // most fibers are spawned there
    for (const scope* s = this; s != nullptr && !s->holds_back_; s = s->outer_) {
      if (s->cancelled_) return true;
    }
    return false;
  }

  context* owner_ = nullptr;
  scope* outer_ = nullptr;
  bool cancelled_ = false;
  bool holds_back_ = false;
  bool stays_ = false;
  bool is_of_group_ = false;
  bool is_abandoned_ = false;
};

}  // namespace ringlet::extend
