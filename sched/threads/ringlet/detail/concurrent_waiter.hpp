// concurrent_waiter: a fiber or a thread in the line of an object that threads share.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/intrusive_list.hpp>

#include <cstddef>
#include <cstdint>

namespace ringlet::detail {

/// The object serves the waiter while it holds its mutex, and notifies it after it has released the
/// mutex. So a waiter that has been served is in no line, and must stay where it is until it has
/// been notified; the object does not touch itself after that, and may be destroyed.
class concurrent_waiter : public extend::list_hook<> {
 public:
  enum class standing : std::uint8_t {
    outside,  // of all lines
    waiting,
    served,   // has what it waited for
    refused,  // the object was closed
  };

  standing where() const noexcept { return where_; }

 protected:
  /// What a fiber and a thread do differently.
  struct kind {
    /// Called each time that it is served or refused, on any thread, without the mutex.
    void (*notify)(concurrent_waiter&) noexcept;
    /// Whether this process is a child of fork(), and the waiter stayed with the parent.
    bool (*is_left_behind)(const concurrent_waiter&) noexcept;
  };
  explicit concurrent_waiter(const kind& how) noexcept : kind_(&how) {}
  ~concurrent_waiter() = default;

 private:
  template <template <class> class>
  friend class permit_line;
  template <class>
  friend class basic_concurrent_flag;
  friend class served_waiters;

  bool stayed_with_parent() const noexcept { return kind_->is_left_behind(*this); }

  const kind* kind_;
  std::size_t count_ = 1;    // of the permits that it waits for
  std::uint32_t round_ = 0;  // of a concurrent_flag
  standing where_ = standing::outside;
};

/// The waiters that a call has served and has not notified yet.
class served_waiters {
 public:
  served_waiters() noexcept = default;
  served_waiters(const served_waiters&) = delete;
  served_waiters& operator=(const served_waiters&) = delete;
  /// Notifies them in the order in which they were served. The mutex has been released by then.
  ~served_waiters() {
    while (!list_.empty()) {
      concurrent_waiter& first = list_.pop_front();
      first.kind_->notify(first);  // it may be gone now
    }
  }

 private:
  template <template <class> class>
  friend class permit_line;
  template <class>
  friend class basic_concurrent_flag;

  extend::intrusive_list<concurrent_waiter> list_;
};

}  // namespace ringlet::detail
