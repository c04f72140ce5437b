// queue_base: the part of a queue that does not depend on its items.
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/wait.hpp>

#include <cstddef>

namespace ringlet::detail {

/// What queues of all types have in common.
class queue_base {
 public:
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  queue_base(const queue_base&) = delete;
  queue_base& operator=(const queue_base&) = delete;

  /// The number of items in the queue, without those that fibers are waiting to push.
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::size_t size_max() const noexcept { return size_max_; }
  /// The sum of the weights of the items in the queue.
  std::size_t weight() const noexcept { return weight_; }
  std::size_t weight_max() const noexcept { return weight_max_; }
  bool is_closed() const noexcept { return closed_; }

 protected:
  class side_wait;

  queue_base(std::size_t size_max, std::size_t weight_max) noexcept
      : size_max_(size_max), weight_max_(weight_max) {}
  ~queue_base();

  /// An item heavier than weight_max is accepted when the queue is empty.
  bool has_room(std::size_t weight) const noexcept {
    return size_ < size_max_ &&
           (size_ == 0 || (weight_ <= weight_max_ && weight <= weight_max_ - weight_));
  }
  void close() noexcept;
  void check_thread() noexcept {
    owner_.check("a queue was used on a thread that is not its scheduler's");
  }

  extend::wait_list pushers_;
  extend::wait_list poppers_;  // if there are any, there are no items
  std::size_t size_ = 0;
  std::size_t weight_ = 0;
  std::size_t size_max_;
  std::size_t weight_max_;
  bool closed_ = false;
  detail::affinity owner_;
};

/// A fiber at one of the two ends.
class queue_base::side_wait : public extend::list_wait {
 public:
  void describe(std::string& out) const;

 protected:
  friend class queue_base;
  side_wait(queue_base& on, time_limit timeout) noexcept : extend::list_wait(timeout), on_(&on) {}

  /// True if the queue is closed for this wait, which is then over.
  bool is_refused(bool closed) noexcept {
    if (closed) reason_ = extend::cancel_reason::closed;
    return closed;
  }

  queue_base* on_;
};

}  // namespace ringlet::detail
