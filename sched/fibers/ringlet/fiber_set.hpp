// fiber_set: fibers that are joined or killed together, like gevent's Group.
//
//     fiber_set downloads;
//     for (const std::string& url : urls) downloads.spawn(fetch, url);
//     const bool all_ended = co_await downloads.join(5s);
//     if (!all_ended) co_await downloads.kill();
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/spawns_calls.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/result.hpp>
#include <ringlet/spawn_after.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <source_location>
#include <string>
#include <utility>

namespace ringlet {

/// A set of fibers; a fiber that ends leaves the set. The set owns nothing: when it is destroyed,
/// its fibers keep running. For fibers that must not outlive a call, use with_group().
///
/// Errors    None of the fibers: see fiber. Adding a member throws std::bad_alloc, and then nothing
///           has changed.
/// Cancellation  join() and kill() lose nothing. A fiber that is killed in kill() has asked the
///           members to end.
/// Lifetime  Must outlive the fibers that join it; otherwise the destructor aborts. Its members may
///           outlive it.
/// Thread    That of the scheduler of its fibers. Adding, removing or killing members on another
///           thread aborts.
/// Memory    One block for each member. Joining and killing do not allocate.
class fiber_set : public detail::spawns_calls<fiber_set>, public detail::spawns_later<fiber_set> {
 public:
  fiber_set();
  fiber_set(const fiber_set&) = delete;
  fiber_set& operator=(const fiber_set&) = delete;
  virtual ~fiber_set();

  /// Like the free spawn(). The fiber becomes a member.
  template <class T>
  fiber<T> spawn(task<T> root, std::source_location where = std::source_location::current()) {
    member_owner added = make_member();  // first: nothing may fail once there is a fiber
    const fiber<T> made = ringlet::spawn(std::move(root), where);
    enroll(std::move(added), made.state());
    return made;
  }
  using detail::spawns_calls<fiber_set>::spawn;

  /// Makes the fiber a member, unless it is one already or has ended.
  template <class T>
  void add(const fiber<T>& added) {
    add(added.state());
  }
  /// Removes the fiber; false if it was not a member. The fiber keeps running.
  template <class T>
  bool discard(const fiber<T>& left) noexcept {
    return discard(left.state());
  }
  /// Whether the fiber is a member. Takes time in proportion to the number of joins, callbacks and
  /// sets that wait for the fiber.
  template <class T>
  bool contains(const fiber<T>& asked) const noexcept {
    return contains(asked.state());
  }
  /// Removes all members; they keep running.
  void clear() noexcept;
  /// How many members there are.
  std::size_t size() const noexcept { return size_; }
  /// Whether there are none.
  bool empty() const noexcept { return size_ == 0; }

  class empty_wait;
  /// Waits until no member is left, including members added during the wait. Their errors are not
  /// thrown. False if the limit passed first.
  empty_wait join(time_limit timeout = forever) noexcept;
  /// Kills every member, in the order in which they were added, including those added during the
  /// wait, and waits like join(). Further calls kill no member twice.
  task<bool> kill(time_limit timeout = forever);
  /// The same with an exception; see fiber<T>::request_kill(). If there is no memory to store the
  /// exception for a member, that member gets `cancelled` instead.
  task<bool> kill(std::exception_ptr error, time_limit timeout = forever);

 protected:
  struct member;
  struct member_deleter {
    void operator()(member* deleted) const noexcept;
  };
  using member_owner = std::unique_ptr<member, member_deleter>;

  /// Allocates what one more member needs. Throws std::bad_alloc.
  member_owner make_member();
  /// Makes `fiber` a member; does nothing if it has ended. Precondition: it is not a member.
  void enroll(member_owner added, extend::fiber_base& fiber) noexcept;
  /// Aborts on any thread but that of the set's scheduler; see affinity.
  void check_thread() noexcept;
  void add(extend::fiber_base& added);
  bool contains(const extend::fiber_base& asked) const noexcept { return find(asked) != nullptr; }
  /// Called when a member has ended or was removed, or when an expected one will not come.
  virtual void on_left() noexcept;

  /// How many members are expected; join() waits for them, too.
  std::size_t expected() const noexcept { return expected_; }
  void expect_one() noexcept { ++expected_; }
  /// An expected member was added, or is about to be.
  void one_has_come() noexcept { --expected_; }
  /// An expected member will not come: treated as if it had left.
  void one_will_not_come() noexcept {
    --expected_;
    on_left();
    end_joins_if_idle();
  }

 private:
  member* find(const extend::fiber_base& asked) const noexcept;
  bool discard(extend::fiber_base& left) noexcept;
  void remove(member& left) noexcept;
  bool is_idle() const noexcept { return size_ == 0 && expected_ == 0; }
  void end_joins_if_idle() noexcept;

  extend::intrusive_list<member, fiber_set> in_order_;
  std::size_t size_ = 0;
  std::size_t expected_ = 0;
  extend::wait_list waiters_;
  detail::affinity owner_;
  std::size_t killers_ = 0;  // calls of kill() that have not returned
  std::exception_ptr kill_error_;
};

/// See fiber_set::join().
class [[nodiscard]] fiber_set::empty_wait : public extend::list_wait {
 public:
  empty_wait(fiber_set& of, time_limit timeout) noexcept : extend::list_wait(timeout), of_(&of) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<bool> take() { return await_resume(); }
  bool await_resume() {
    rethrow_interruption();
    return reason_ == extend::cancel_reason::none;
  }

  bool try_now() noexcept { return of_->is_idle(); }
  void watch() noexcept { of_->waiters_.push_back(*this); }
  void describe(std::string& out) const;
  static const extend::wait_type type;

 private:
  bool begin(extend::frame_record& at) noexcept { return begin_alone(*this, at); }
  fiber_set* of_;
};

inline fiber_set::empty_wait fiber_set::join(time_limit timeout) noexcept {
  return {*this, timeout};
}

}  // namespace ringlet
