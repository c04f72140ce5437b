// group: fibers that are joined or killed together, as gevent's Group.
#pragma once

#include <ringlet/fiber.hpp>
#include <ringlet/intrusive_list.hpp>
#include <ringlet/result.hpp>
#include <ringlet/spawn_after.hpp>
#include <ringlet/task.hpp>
#include <ringlet/until.hpp>
#include <ringlet/wait.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <source_location>
#include <string>
#include <utility>

namespace ringlet {

/// A set of fibers, from which those that end leave by themselves. It owns nothing: when it is
/// destroyed, its fibers keep running. For fibers that must not outlive a call there is
/// with_group().
/// Thread: that of the scheduler of its fibers; members are added, taken out and killed there, or
/// the program aborts.
class group : public spawns_calls<group>, public spawns_later<group> {
 public:
  group();
  group(const group&) = delete;
  group& operator=(const group&) = delete;
  virtual ~group();

  /// As the functions of that name; the fiber is a member.
  template <class T>
  fiber<T> spawn(task<T> root, std::source_location where = std::source_location::current()) {
    member_owner added = make_member();  // first: nothing may fail once there is a fiber
    const fiber<T> made = ringlet::spawn(std::move(root), where);
    enroll(std::move(added), made.state());
    return made;
  }
  using spawns_calls<group>::spawn;

  /// Makes it a member, unless it is one or has ended.
  template <class T>
  void add(const fiber<T>& added) {
    add(added.state());
  }
  /// Takes it out; false when it was no member. The fiber keeps running.
  template <class T>
  bool discard(const fiber<T>& left) noexcept {
    return discard(left.state());
  }
  template <class T>
  bool contains(const fiber<T>& asked) const noexcept {
    return contains(asked.state());
  }
  /// Forgets all members; they keep running.
  void clear() noexcept;
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  class empty_wait;
  /// Waits until no member is left: those that are added during the wait are waited for, too. Their
  /// errors are not thrown. False when the limit passed first.
  empty_wait join(until limit = forever) noexcept;
  /// Asks every member to end, in the order in which they came, also those that are added during
  /// the wait, and waits like join(). Called again it asks no member twice.
  task<bool> kill(until limit = forever);
  /// The same with that exception; see fiber<T>::request_kill(). A member for which there is no
  /// memory to keep it gets `cancelled` instead.
  task<bool> kill(std::exception_ptr error, until limit = forever);

 protected:
  struct member;
  struct member_deleter {
    void operator()(member* deleted) const noexcept;
  };
  using member_owner = std::unique_ptr<member, member_deleter>;

  /// What one more member needs. Throws std::bad_alloc.
  member_owner make_member();
  /// Makes it a member, which it is not; nothing if it has ended.
  void enroll(member_owner added, fiber_base& fiber) noexcept;
  /// Aborts on another thread than the one on which it was used first.
  void check_thread() noexcept;
  void add(fiber_base& added);
  bool contains(const fiber_base& asked) const noexcept { return find(asked) != nullptr; }
  /// A member has ended, was taken out, or will not come.
  virtual void on_left() noexcept;

  /// Members that are still to come: join() waits for them, too.
  std::size_t expected() const noexcept { return expected_; }
  void expect_one() noexcept { ++expected_; }
  /// One of them has come, or is about to.
  void one_has_come() noexcept { --expected_; }
  /// As if it had left.
  void one_will_not_come() noexcept {
    --expected_;
    on_left();
    end_joins_if_idle();
  }

 private:
  member* find(const fiber_base& asked) const noexcept;
  bool discard(fiber_base& left) noexcept;
  void remove(member& left) noexcept;
  bool is_idle() const noexcept { return size_ == 0 && expected_ == 0; }
  void end_joins_if_idle() noexcept;

  intrusive_list<member, group> in_order_;
  std::size_t size_ = 0;
  std::size_t expected_ = 0;
  wait_list waiters_;
  detail::affinity owner_;
  std::size_t killers_ = 0;  // calls of kill() that have not returned
  std::exception_ptr kill_error_;
};

/// See group::join().
class [[nodiscard]] group::empty_wait : public list_wait {
 public:
  empty_wait(group& of, until limit) noexcept : list_wait(limit), of_(&of) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<bool> take() { return await_resume(); }
  bool await_resume() {
    rethrow_interruption();
    return reason_ == cancel_reason::none;
  }

  bool try_now() noexcept { return of_->is_idle(); }
  void watch() noexcept { of_->waiters_.push_back(*this); }
  void describe(std::string& out) const;
  static const wait_type type;

 private:
  bool begin(frame_record& at) noexcept { return begin_alone(*this, at); }
  group* of_;
};

inline group::empty_wait group::join(until limit) noexcept { return {*this, limit}; }

}  // namespace ringlet
