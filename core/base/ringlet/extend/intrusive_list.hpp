// A doubly linked list whose links live in its elements: adding and removing never allocate, and an
// element can leave from the middle without knowing the list.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/assert.hpp>

namespace ringlet::extend {

/// The links of an element. Derive from it once per list that the element can be in; `Tag` tells
/// them apart. An element must leave its list before it is destroyed.
template <class Tag = void>
class list_hook {
 public:
  list_hook() noexcept = default;
  list_hook(const list_hook&) = delete;
  list_hook& operator=(const list_hook&) = delete;
  ~list_hook() {
    RINGLET_ASSERT(next_ == nullptr, "an element was destroyed while it was in a list");
  }

  bool linked() const noexcept { return next_ != nullptr; }

  /// Leaves its list; does nothing if it is in none.
  void unlink() noexcept {
    if (next_ != nullptr) leave();
  }

 private:
  template <class T, class U>
  friend class intrusive_list;

  void leave() noexcept {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

  list_hook* next_ = nullptr;
  list_hook* previous_ = nullptr;
};

/// First in, first out, unless push_front() is used. The list owns nothing.
template <class T, class Tag = void>
class intrusive_list {
  using hook = list_hook<Tag>;

 public:
  intrusive_list() noexcept { head_.next_ = head_.previous_ = &head_; }
  intrusive_list(const intrusive_list&) = delete;
  intrusive_list& operator=(const intrusive_list&) = delete;
  ~intrusive_list() {
    RINGLET_ASSERT(empty(), "a list was destroyed while elements were in it");
    head_.next_ = head_.previous_ = nullptr;
  }

  bool empty() const noexcept { return head_.next_ == &head_; }
  T& front() noexcept { return element(head_.next_); }

  void push_back(T& element) noexcept { insert_before(head_, element); }
  void push_front(T& element) noexcept { insert_before(*head_.next_, element); }

  T& pop_front() noexcept {
    T& first = front();
    static_cast<hook&>(first).leave();
    return first;
  }

  /// Removes an element of this list.
  void remove(T& element) noexcept { static_cast<hook&>(element).leave(); }

  /// The element after `current`, or null at the end; null stands for "before the first".
  T* next(const T* current) noexcept {
    hook* after = current ? static_cast<const hook*>(current)->next_ : head_.next_;
    return after == &head_ ? nullptr : &element(after);
  }

  /// Moves all elements of `other` to the end of this list, in their order. O(1).
  void splice_back(intrusive_list& other) noexcept {
    if (other.empty()) return;
    hook* const first = other.head_.next_;
    hook* const last = other.head_.previous_;
    other.head_.next_ = other.head_.previous_ = &other.head_;
    first->previous_ = head_.previous_;
    head_.previous_->next_ = first;
    last->next_ = &head_;
    head_.previous_ = last;
  }

 private:
  static T& element(hook* link) noexcept { return static_cast<T&>(*link); }
  static void insert_before(hook& position, hook& added) noexcept {
    added.previous_ = position.previous_;
    added.next_ = &position;
    position.previous_->next_ = &added;
    position.previous_ = &added;
  }

  hook head_;
};

}  // namespace ringlet::extend
