// The schedulers of this process: for messages that name two of them, and for fork().
//
// A child of fork() has copies of the parent's schedulers, but only one of their threads: the one
// that called fork(). It shares the rings, epoll instances and sockets with the parent. So the
// child leaves the parent's schedulers behind: each gets an engine that refuses to work, and the
// thread no longer has a scheduler. Every call already checks one of the two and aborts, so no call
// needs an extra check.
//
// This file is always compiled with full debug information, because tools/ringlet.gdb.py begins
// here: with the list of schedulers, and with the types that it reads.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/affinity.hpp>
#include <ringlet/detail/fiber_extras.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/unique_fd.hpp>

#include <pthread.h>

#include <array>
#include <cstdio>
#include <mutex>
#include <new>
#include <string>

// What tools/ringlet.gdb.py looks for: the list, once there is one, and a type that g++ would not
// describe if nothing here used it.
extern "C" {
[[gnu::used]] const void* ringlet_schedulers = nullptr;
[[gnu::used]] const ringlet::detail::fiber_extras* ringlet_fiber_extras = nullptr;
}

namespace ringlet {
using namespace extend;
using namespace detail;

thread_local constinit extend::scheduler* detail::scheduler_here = nullptr;
thread_local constinit std::uint32_t detail::serial_here = 0;

namespace {

using detail::abort_after_fork;

// Replaces the engine of schedulers that were left behind: calls that would reach the parent abort,
// and calls that release something do nothing.
class refusing_engine final : public engine {
 public:
  refusing_engine() { statistics_.engine = "none, after fork()"; }

  void start(operation&) noexcept override { abort_after_fork(); }
  void cancel(operation&) noexcept override {}
  std::int32_t call(operation&) noexcept override { abort_after_fork(); }
  std::size_t wait(steady_ns, std::span<completion>) override { abort_after_fork(); }
  void submit(blocking_job&) override { abort_after_fork(); }
  bool withdraw(blocking_job&) noexcept override { return false; }
  steady_ns now() noexcept override { abort_after_fork(); }
  std::uint64_t random() noexcept override { abort_after_fork(); }
  void recycle_buffer(std::int32_t) noexcept override {}
  std::uint32_t buffers_free() const noexcept override { return 0; }

 private:
  void notify() noexcept override {}
};

struct registry {
  registry() noexcept { ringlet_schedulers = &running; }
  std::mutex mutex;
  intrusive_list<scheduler, all_schedulers_tag> running;
  intrusive_list<scheduler, all_schedulers_tag> left_behind;  // the parent's
  std::uint32_t last_serial = 0;
  refusing_engine refusing;
};

// Never destroyed: threads may still run schedulers after main() has returned.
registry& all() {
  static registry& made = *new registry;
  return made;
}

void before_fork() noexcept { all().mutex.lock(); }
void in_parent() noexcept { all().mutex.unlock(); }
void in_child() noexcept {
  registry& known = all();
  while (!known.running.empty()) {
    extend::scheduler& left = known.running.pop_front();
    known.left_behind.push_back(left);
    detail::leave_behind(left, known.refusing);
  }
  known.mutex.unlock();
}

}  // namespace

void detail::leave_behind(extend::scheduler& left, extend::engine& refusing) noexcept {
  left.left_behind_ = true;
  left.engine_ = &refusing;
  // Does not lock the mutex: a thread of the parent may have held it at the fork.
  left.handle_state_->left_behind = true;
  if (scheduler_here != &left) return;
  // The fiber that called fork() runs to its next wait; then finished_ makes run_batch() check
  // left_behind_. If a callback or posted work called fork(), the empty queue ends the batch, and
  // the next turn checks.
  left.finished_ = true;
  while (!left.empty()) left.pop_first();
  scheduler_here = nullptr;
  serial_here = 0;
  engine_here = nullptr;
  set_descriptor_closer(nullptr);
}

void scheduler::enlist() {
  static const int registered = ::pthread_atfork(&before_fork, &in_parent, &in_child);
  if (registered != 0) throw std::bad_alloc();
  const std::lock_guard lock(all().mutex);
  serial_ = ++all().last_serial;
  all().running.push_back(*this);
}

void scheduler::delist() noexcept {
  const std::lock_guard lock(all().mutex);
  all().running.remove(*this);
}

void detail::abort_after_fork() noexcept {
  RINGLET_ASSERT(false,
                 "in a child of fork() the parent's scheduler, streams and fibers cannot be used: "
                 "there call exec(), exit(), or run() for a scheduler of its own");
}

void detail::no_scheduler(const char* rule) noexcept {
  // No lock: only in_child() changes this list, while the process has one thread.
  if (!all().left_behind.empty()) abort_after_fork();
  RINGLET_ASSERT(false, rule);
}

void detail::wrong_thread(const extend::scheduler& owner, const char* rule) noexcept {
  if (owner.is_left_behind()) abort_after_fork();
  const extend::scheduler* const here = current_scheduler_or_null();
  std::array<char, 600> sentence;
  std::snprintf(sentence.data(), sentence.size(),
                "%s: it belongs to scheduler %s, and this thread runs %s%s; have it done there, by "
                "scheduler_handle::post()",
                rule, owner.label().c_str(), here == nullptr ? "none" : "scheduler ",
                here == nullptr ? "" : here->label().c_str());
  RINGLET_ASSERT(false, sentence.data());
}

void detail::affinity::settle(const char* rule) noexcept {
  {
    registry& known = all();
    const std::lock_guard lock(known.mutex);
    for (extend::scheduler* s = known.running.next(nullptr); s != nullptr;
         s = known.running.next(s)) {
      if (serial_ != 0 && s->serial() == serial_) wrong_thread(*s, rule);
    }
  }
  serial_ = serial_here;  // of the first user, or the next one after that has ended
}

bool detail::affinity::is_left_behind() const noexcept {
  registry& known = all();
  const std::lock_guard lock(known.mutex);
  const extend::scheduler* left = known.left_behind.next(nullptr);
  while (left != nullptr && left->serial() != serial_) left = known.left_behind.next(left);
  return serial_ != 0 && left != nullptr;
}

std::string scheduler::label() const {
  if (!options_.name.empty()) return '"' + options_.name + '"';
  std::array<char, 32> address;
  std::snprintf(address.data(), address.size(), "%p", static_cast<const void*>(this));
  return address.data();
}

}  // namespace ringlet
