// descriptor_waiter: what has run out of descriptors, and is told when one is closed.
#pragma once

#include <ringlet/extend/intrusive_list.hpp>

namespace ringlet {

/// What lists them.
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

/// Those of one engine, first come, first served; one leaves by its own unlink().
class descriptor_waiters {
 public:
  void add(descriptor_waiter& added) noexcept { waiters_.push_back(added); }
  /// A descriptor was closed: tells the first.
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
