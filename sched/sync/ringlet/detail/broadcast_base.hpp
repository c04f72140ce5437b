// broadcast_base: the part of a broadcast that does not depend on its items.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/detail/cursor_counts.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/extend/wake_list.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace ringlet {

enum class lag_policy : std::uint8_t;
enum class from : std::uint8_t;

}  // namespace ringlet

namespace ringlet::extend {

class broadcast_wait;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// What a broadcast and its subscribers share; the last of them destroys it. Items are numbered
/// from 0; item i lies in slot i % capacity.
class broadcast_base {
 public:
  broadcast_base(const broadcast_base&) = delete;
  broadcast_base& operator=(const broadcast_base&) = delete;

  lag_policy policy() const noexcept { return policy_; }
  std::size_t capacity() const noexcept { return capacity_; }
  std::uint64_t sent() const noexcept { return sent_; }
  std::uint64_t oldest() const noexcept { return sent_ > capacity_ ? sent_ - capacity_ : 0; }
  std::size_t size() const noexcept { return static_cast<std::size_t>(sent_ - oldest()); }
  std::size_t backlog() const noexcept {
    return cursors_.empty() ? 0 : static_cast<std::size_t>(sent_ - cursors_.slowest());
  }
  std::size_t backlog_peak() const noexcept { return backlog_peak_; }
  std::size_t subscribers() const noexcept { return subscribers_; }
  bool is_closed() const noexcept { return closed_; }

  void close() noexcept;
  /// For the destructor of the broadcast: closes; it must have no senders that wait.
  void end() noexcept;
  void check_thread() noexcept {
    owner_.check("a broadcast was used on a thread that is not its scheduler's");
  }
  void describe(std::string& out) const;

 protected:
  broadcast_base(std::size_t capacity, lag_policy policy);
  ~broadcast_base();

  /// Whether an item can be sent now.
  bool has_room() const noexcept { return backlog() < capacity_; }
  std::size_t slot_of(std::uint64_t number) const noexcept {
    return static_cast<std::size_t>(number % capacity_);
  }
  /// The item with the number sent() is in its slot: wakes all receivers.
  void publish() noexcept;
  void measure_backlog() noexcept;

  void add_sender(extend::list_wait& last) noexcept;
  /// It has left senders_, or will.
  void remove_sender() noexcept { --sending_; }

  extend::wait_list senders_;        // if there are any, there is no room
  extend::wake_list ended_senders_;  // by close()

 private:
  friend class broadcast_subscriber;
  friend class extend::broadcast_wait;

  /// Sends the items of waiting fibers as far as there is room.
  virtual void admit() noexcept = 0;

  const std::size_t capacity_;
  const lag_policy policy_;
  bool closed_ = false;
  std::uint64_t sent_ = 0;
  detail::affinity owner_;
  extend::wait_list receivers_;  // have received all that was sent
  extend::wake_list woken_;
  cursor_counts cursors_;  // of the subscribers, under lag_policy::wait
  std::size_t backlog_peak_ = 0;
  std::size_t subscribers_ = 0;
  std::size_t sending_ = 0, sending_peak_ = 0;
  std::size_t receiving_ = 0, receiving_peak_ = 0;
};

/// A subscriber without the type of the items.
class broadcast_subscriber {
 public:
  broadcast_subscriber(broadcast_subscriber&& other) noexcept
      : shared_((other.check_idle("moved"), std::move(other.shared_))),
        next_(other.next_),
        missed_(other.missed_) {}
  broadcast_subscriber& operator=(broadcast_subscriber&& other) noexcept {
    check_idle("assigned to");
    broadcast_subscriber moved(std::move(other));
    std::swap(shared_, moved.shared_);
    std::swap(next_, moved.next_);
    std::swap(missed_, moved.missed_);
    return *this;
  }

 protected:
  broadcast_subscriber(std::shared_ptr<broadcast_base> on, from first) noexcept;
  ~broadcast_subscriber() {
    check_idle("destroyed");
    if (shared_ != nullptr) leave();
  }

  broadcast_base& shared() const noexcept {
    RINGLET_ASSERT(shared_ != nullptr,
                   "a subscriber of a broadcast was used after it was moved from");
    return *shared_;
  }
  std::uint64_t next_number() const noexcept { return next_; }
  /// How many items were overwritten that it had yet to receive.
  std::uint64_t overwritten() const noexcept {
    const std::uint64_t oldest = shared().oldest();
    return next_ < oldest ? oldest - next_ : 0;
  }
  std::uint64_t missed() const noexcept { return missed_ + overwritten(); }
  bool is_lagged() const noexcept;
  std::size_t available() const noexcept;
  /// Moves to the next item that it can receive. Returns no error if there is one; otherwise
  /// errc::lagged, or errc::closed, also if none was sent yet.
  std::error_code find_next() noexcept;
  /// It has received the item.
  void advance() noexcept;
  /// Aborts if a fiber waits for it.
  void check_no_second() const noexcept;

 private:
  friend class extend::broadcast_wait;

  void check_idle(const char* what) const noexcept {
    if (wait_ != nullptr) [[unlikely]]
      refuse(what);
  }
  void refuse(const char* what) const noexcept;
  void leave() noexcept;

  std::shared_ptr<broadcast_base> shared_;
  std::uint64_t next_ = 0;  // the number of the item that it receives next
  std::uint64_t missed_ = 0;
  extend::broadcast_wait* wait_ = nullptr;  // of the fiber that waits, until that has its answer
};

}  // namespace ringlet::detail
