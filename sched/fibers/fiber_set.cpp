// Members that leave when they end, and the wait until none is left.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/fiber_set.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <new>
#include <utility>

namespace ringlet {
using namespace extend;

// A member is in the list of its fiber's watchers, where the set finds it, and in the list of the
// set.
struct fiber_set::member : done_watcher, list_hook<fiber_set> {
  explicit member(fiber_set& of) noexcept : done_watcher(&member::on_ended), owner(&of) {}
  ~member() {
    done_watcher::unlink();
    list_hook<fiber_set>::unlink();
    if (who != nullptr) who->drop_reference();
  }
  static void* operator new(std::size_t size) { return detail::frames.allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    detail::frames.deallocate(memory, size);
  }

  static void on_ended(done_watcher& watcher) noexcept {
    auto& self = static_cast<member&>(watcher);
    self.owner->remove(self);
  }

  void kill(const std::exception_ptr& error) noexcept {
    if (std::exchange(killed, true)) return;
    try {
      who->kill_with(error);
    } catch (const std::bad_alloc&) {
      who->kill();  // it must end anyway
    }
  }

  fiber_set* owner;
  fiber_base* who = nullptr;
  bool killed = false;
};

const wait_type fiber_set::empty_wait::type = make_type<empty_wait>("end of a fiber_set");

fiber_set::fiber_set() = default;

fiber_set::~fiber_set() {
  detail::drop_waits_left_behind(waiters_);
  RINGLET_ASSERT(waiters_.empty(), "a fiber_set was destroyed while a fiber joined it");
  clear();
}

void fiber_set::check_thread() noexcept {
  owner_.check("a fiber_set or pool was used on a thread that is not its scheduler's");
}

void fiber_set::member_deleter::operator()(member* deleted) const noexcept { delete deleted; }

fiber_set::member_owner fiber_set::make_member() { return member_owner(new member(*this)); }

void fiber_set::add(fiber_base& added) {
  if (added.done()) return;
  added.scheduler().check_thread("a fiber of another thread's scheduler was added to a fiber_set");
  if (!contains(added)) enroll(make_member(), added);
}

void fiber_set::enroll(member_owner added, fiber_base& fiber) noexcept {
  if (fiber.done()) return;
  check_thread();
  member& made = *added.release();
  made.who = &fiber;
  fiber.add_reference();
  fiber.watch(made);
  in_order_.push_back(made);
  ++size_;
  if (killers_ != 0) made.kill(kill_error_);
}

fiber_set::member* fiber_set::find(const fiber_base& asked) const noexcept {
  return static_cast<member*>(const_cast<fiber_base&>(asked).find_watcher(
      &member::on_ended,
      [this](done_watcher& watcher) { return static_cast<member&>(watcher).owner == this; }));
}

bool fiber_set::discard(fiber_base& left) noexcept {
  check_thread();
  member* const found = find(left);
  if (found != nullptr) remove(*found);
  return found != nullptr;
}

void fiber_set::remove(member& left) noexcept {
  const member_owner last(&left);
  static_cast<done_watcher&>(left).unlink();
  static_cast<list_hook<fiber_set>&>(left).unlink();
  --size_;
  on_left();
  end_joins_if_idle();
}

void fiber_set::end_joins_if_idle() noexcept {
  while (is_idle() && !waiters_.empty()) waiters_.front().complete();
}

void fiber_set::on_left() noexcept {}

void fiber_set::clear() noexcept {
  if (!in_order_.empty()) check_thread();
  while (!in_order_.empty()) remove(in_order_.front());
}

task<bool> fiber_set::kill(time_limit timeout) { return kill(nullptr, timeout); }

task<bool> fiber_set::kill(std::exception_ptr error, time_limit timeout) {
  struct killing {
    explicit killing(fiber_set& of) noexcept : killed(of) { ++killed.killers_; }
    ~killing() {
      if (--killed.killers_ == 0) killed.kill_error_ = nullptr;
    }
    fiber_set& killed;
  };
  check_thread();
  const killing on(*this);
  kill_error_ = error;
  for (member* m = in_order_.next(nullptr); m != nullptr; m = in_order_.next(m)) m->kill(error);
  co_return co_await join(timeout);
}

void fiber_set::empty_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "of {} fiber{}", of_->size(),
                 of_->size() == 1 ? "" : "s");
  if (of_->expected() != 0) {
    fmt::format_to(std::back_inserter(out), ", {} more to come", of_->expected());
  }
}

}  // namespace ringlet
