// queue_base: the part of a queue that does not depend on its items.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/extend/wake_list.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

namespace ringlet::detail {

/// What queues of all types have in common.
class queue_base {
 public:
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  class side_wait;

  queue_base(const queue_base&) = delete;
  queue_base& operator=(const queue_base&) = delete;

  /// The number of items in the queue, without those that fibers are waiting to push.
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::size_t size_max() const noexcept { return size_max_; }
  /// The largest size() so far.
  std::size_t peak() const noexcept { return std::max(peak_, size_); }
  /// The sum of the weights of the items in the queue.
  std::size_t weight() const noexcept { return weight_; }
  std::size_t weight_max() const noexcept { return weight_max_; }
  bool is_closed() const noexcept { return closed_; }
  /// How many fibers wait to push, and how many to pop.
  std::size_t waiting_to_push() const noexcept { return pushers_.count; }
  std::size_t waiting_to_pop() const noexcept { return poppers_.count; }

 protected:
  /// The fibers that wait at one end, in the order in which they came.
  struct line {
    bool empty() const noexcept { return waits.empty(); }

    extend::wait_list waits;
    std::size_t count = 0;
  };

  queue_base(const char* name, std::size_t size_max, std::size_t weight_max) noexcept
      : size_max_(size_max), weight_max_(weight_max), name_(name) {}
  ~queue_base();

  /// An item heavier than weight_max is accepted when the queue is empty.
  bool has_room(std::size_t weight) const noexcept {
    return size_ < size_max_ &&
           (size_ == 0 || (weight_ <= weight_max_ && weight <= weight_max_ - weight_));
  }
  /// Accounts for an item that is now stored.
  void count_in(std::size_t weight) noexcept {
    ++size_;
    weight_ += weight;
    wake_peekers();
  }
  /// Accounts for an item that is about to leave the store.
  void count_out(std::size_t weight) noexcept {
    if (size_ > peak_) peak_ = size_;
    --size_;
    weight_ -= weight;
  }
  /// While the weigher of a queue runs, which is code of the program: no push is admitted, and a
  /// call of the queue aborts.
  class weighing {
   public:
    explicit weighing(queue_base& by) noexcept : by_(by) {
      by.check_not_weighing();
      by.weighs_ = true;
    }
    weighing(const weighing&) = delete;
    weighing& operator=(const weighing&) = delete;
    ~weighing() { by_.weighs_ = false; }

   private:
    queue_base& by_;
  };
  void check_not_weighing() const noexcept {
    RINGLET_ASSERT(!weighs_,
                   "the weigher of a queue used that queue: it must only look at the item");
  }
  /// Wakes the fibers that wait to see an item. They take nothing.
  void wake_peekers() noexcept {
    if (!peekers_.empty()) [[unlikely]]
      woken_.take(peekers_);
  }
  void close() noexcept;
  /// For the destructor of what fibers push or pop through: aborts with `rule` if any wait there.
  /// See list_wait::end_orphans().
  void end_pushers(const char* rule) noexcept { end_orphans(pushers_, rule); }
  void end_poppers(const char* rule) noexcept { end_orphans(poppers_, rule); }
  void check_thread() noexcept {
    owner_.check("a queue was used on a thread that is not its scheduler's");
  }
  /// For dump(): "queue 0x7f30 with 3 of 16 items, ...".
  void describe_to(std::string& out) const;

  line pushers_;
  line poppers_;               // if there are any, there are no items
  extend::wait_list peekers_;  // if there are any, there are no items and no pushers
  std::size_t size_ = 0;
  std::size_t peak_ = 0;  // up to the last pop
  std::size_t weight_ = 0;
  std::size_t size_max_;
  std::size_t weight_max_;
  std::size_t reserved_ = 0;  // places of a channel, no longer in size_max_
  bool closed_ = false;
  bool weighs_ = false;
  detail::affinity owner_;
  const char* name_;         // "queue"
  extend::wake_list woken_;  // ended by close(), or by an item that they may see

 private:
  static void end_orphans(line& left, const char* rule) noexcept;
};

/// A fiber at one of the two ends.
///
/// After close() no wait is in a line: those that close() has ended are in woken_, with closed as
/// their reason, and keep it.
class queue_base::side_wait : public extend::list_wait {
 public:
  void describe(std::string& out) const { on_->describe_to(out); }

 protected:
  friend class queue_base;
  side_wait(queue_base& on, time_limit timeout) noexcept : extend::list_wait(timeout), on_(&on) {}

  /// True if the queue is closed for this wait, which is then over.
  bool is_refused(bool closed) noexcept {
    if (closed) reason_ = extend::cancel_reason::closed;
    return closed;
  }
  void enter_line(line& at) noexcept {
    at.waits.push_back(*this);
    ++at.count;
  }
  void leave_line(line& at) noexcept {
    if (!on_->closed_ && linked()) --at.count;
    unlink();
  }
  /// Ends a wait early.
  void give_up(line& at, extend::cancel_reason reason) noexcept {
    if (!on_->closed_) reason_ = reason;
    leave_line(at);
    complete();
  }

  queue_base* on_;
};

}  // namespace ringlet::detail
