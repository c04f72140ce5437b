// group: fibers that are joined or killed together, as gevent's Group.
#pragma once

#include <ringlet/fiber.hpp>
#include <ringlet/intrusive_list.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>
#include <ringlet/until.hpp>
#include <ringlet/wait.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <source_location>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ringlet {

/// A set of fibers, from which those that end leave by themselves. It owns nothing: when it goes,
/// its fibers go on. For fibers that must not outlive a call there is with_group().
/// Thread: that of its scheduler.
class group : public spawns_calls<group> {
 public:
  group();
  group(const group&) = delete;
  group& operator=(const group&) = delete;
  virtual ~group();

  /// As the functions of that name; the fiber is a member.
  template <class T>
  fiber<T> spawn(task<T> root, std::source_location where = std::source_location::current()) {
    const fiber<T> made = ringlet::spawn(std::move(root), where);
    try {
      add(made);
    } catch (...) {
      made.request_kill();  // before it has begun
      throw;
    }
    return made;
  }
  using spawns_calls<group>::spawn;

  /// Makes it a member, unless it is one or has ended.
  template <class T>
  void add(const fiber<T>& added) {
    add(added.state());
  }
  /// Takes it out; false when it was no member. It goes on.
  template <class T>
  bool discard(const fiber<T>& left) noexcept {
    return remove(left.state());
  }
  template <class T>
  bool contains(const fiber<T>& asked) const noexcept {
    return contains(asked.state());
  }
  /// Forgets all members; they go on.
  void clear() noexcept;
  std::size_t size() const noexcept { return members_.size(); }
  bool empty() const noexcept { return members_.empty(); }

  class empty_wait;
  /// Waits until no member is left: those that are added meanwhile are waited for, too. Their
  /// errors are not thrown. False when the limit passed first.
  empty_wait join(until limit = forever) noexcept;
  /// Asks every member to end, in the order in which they came, also those that are added
  /// meanwhile, and waits like join(). Called again it asks nobody twice.
  task<bool> kill(until limit = forever);
  /// The same with that exception; see fiber<T>::request_kill().
  task<bool> kill(std::exception_ptr error, until limit = forever);

 protected:
  void add(fiber_base& added);
  bool contains(const fiber_base& asked) const noexcept {
    return members_.contains(const_cast<fiber_base*>(&asked));
  }
  /// A member has ended, or was taken out.
  virtual void on_left() noexcept;

 private:
  struct member;

  bool remove(fiber_base& left) noexcept;

  intrusive_list<member, group> in_order_;
  std::unordered_map<fiber_base*, std::unique_ptr<member>> members_;
  wait_list waiters_;
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

  bool try_now() noexcept { return of_->empty(); }
  void watch() noexcept { of_->waiters_.push_back(*this); }
  static const wait_type type;

 private:
  bool begin(frame_record& at) noexcept { return begin_alone(*this, at); }
  static void describe(const void* object, std::string& out);
  group* of_;
};

inline group::empty_wait group::join(until limit) noexcept { return {*this, limit}; }

}  // namespace ringlet
