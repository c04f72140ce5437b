// descriptor_waiter: an object that ran out of descriptors and is notified when one is closed.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/intrusive_list.hpp>

namespace ringlet {

/// Distinguishes their list from other lists.
struct descriptor_waiter_tag;

}  // namespace ringlet

namespace ringlet::extend {

/// The base of objects that failed with EMFILE and can try again.
class descriptor_waiter : public list_hook<descriptor_waiter_tag> {
 public:
  /// A descriptor was closed by ringlet: try again. Called once; the waiter has left the list.
  virtual void on_descriptor_freed() noexcept = 0;

 protected:
  ~descriptor_waiter() = default;
};

/// The waiters of one engine, in the order of arrival. A waiter leaves by unlink().
class descriptor_waiters {
 public:
  void add(descriptor_waiter& added) noexcept { waiters_.push_back(added); }
  /// A descriptor was closed: notifies the first waiter, which leaves the list.
  void on_descriptor_freed() noexcept {
    if (!waiters_.empty()) waiters_.pop_front().on_descriptor_freed();
  }
  void clear() noexcept {
    while (!waiters_.empty()) waiters_.pop_front();
  }

 private:
  intrusive_list<descriptor_waiter, descriptor_waiter_tag> waiters_;
};

}  // namespace ringlet::extend
