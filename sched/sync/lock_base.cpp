// Handing locks over, and finding cycles of them.
// SPDX-License-Identifier: MIT
#include <ringlet/deadlock.hpp>
#include <ringlet/detail/holders.hpp>
#include <ringlet/detail/lock_base.hpp>
#include <ringlet/extend/condition_wait.hpp>
#include <ringlet/mutex.hpp>
#include <ringlet/recursive_mutex.hpp>
#include <ringlet/shared_mutex.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ringlet::detail {
using namespace extend;

namespace {

std::string name_of(const fiber_base& who) {
  return who.name().empty() ? fmt::format("fiber {}", who.id())
                            : fmt::format("fiber {} \"{}\"", who.id(), who.name());
}

[[noreturn]] void abort_with(const std::string& rule) noexcept {
  broken_rule(rule.c_str(), __FILE__, __LINE__);
}

// Whether who waits for whom leads from `last`, which has just begun to wait, back to it. Most
// chains have one link. One that leads into a cycle without `last`, which a limit will end, is
// noticed by Brent's method: `mark` stays behind for twice as many links each time.
bool is_in_cycle(const fiber_base& last) noexcept {
  const fiber_base* mark = &last;
  std::size_t until_moved = 1;
  std::size_t links = 0;
  for (const fiber_base* at = holder_awaited_by(last); at != nullptr; at = holder_awaited_by(*at)) {
    if (at == &last) return true;
    if (at == mark) return false;
    if (++links != until_moved) continue;
    mark = at;
    until_moved *= 2;
    links = 0;
  }
  return false;
}

// Whether it waits for a lock that it gave up in a condition, and needs even to end by a limit.
bool must_have_lock(const fiber_base& who) noexcept {
  return who.current_wait().type == &condition_wait::type;
}

// Whether it waits in lock() or lock_shared().
bool may_fail(const fiber_base& who) noexcept {
  const wait_type* const type = who.current_wait().type;
  return type == &lock_wait<mutex>::type || type == &lock_wait<recursive_mutex>::type ||
         type == &shared_mutex::exclusive_wait::type || type == &shared_mutex::shared_wait::type;
}

// The fibers of that cycle, in its order; none if a limit can end one of their waits.
std::vector<const fiber_base*> cycle_of(const fiber_base& last) {
  std::vector<const fiber_base*> found;
  const fiber_base* at = &last;
  do {
    if (!must_have_lock(*at) && can_time_out(*at)) return {};
    found.push_back(at);
    at = holder_awaited_by(*at);
  } while (at != &last);
  return found;
}

std::string report_of(std::span<const fiber_base* const> cycle) {
  std::string text = "deadlock: ";
  if (cycle.size() == 1) {
    text += name_of(*cycle.front()) + " waits for a lock that it holds itself";
  } else {
    for (std::size_t i = 0; i < cycle.size(); ++i) {
      text += (i == 0 ? "" : i + 1 == cycle.size() ? " and " : ", ") + name_of(*cycle[i]);
    }
    text += " wait for locks of each other";
  }
  return text + '\n' + list_of(cycle);
}

}  // namespace

lock_base::~lock_base() {
  drop_waits_left_behind(waiters_);
  if (holder_ != nullptr && !holder_->scheduler().is_left_behind()) {
    abort_with(
        fmt::format("a {} was destroyed while {} held it: it must outlive the fibers that "
                    "use it, so declare it outside of the group that they are in",
                    name_, name_of(*holder_)));
  }
}

void lock_base::hand_over() noexcept {
  if (holder_ != nullptr) holder_->discount_lock();
  while (!waiters_.empty()) {
    waiter& next = static_cast<waiter&>(waiters_.front());
    remove(next);
    give_to(*next.fiber_);
    depth_ = 1;
    if (next.takes_lock_ == nullptr || next.takes_lock_(next)) return next.complete();
    holder_->discount_lock();
  }
  holder_ = nullptr;
  depth_ = 0;
}

void lock_base::add(waiter& last, bool (*takes_lock)(waiter&) noexcept) noexcept {
  check_thread();
  last.takes_lock_ = takes_lock;
  waiters_.push_back(last);
  waiting_peak_ = std::max(waiting_peak_, ++waiting_);
}

void lock_base::remove(waiter& gone) noexcept {
  waiters_.remove(gone);
  --waiting_;
}

void lock_base::refuse_unlock() const noexcept {
  if (holder_ == nullptr) {
    abort_with(fmt::format("a {} was unlocked that no fiber had locked", name_));
  }
  abort_with(
      fmt::format("a {} was unlocked by a fiber that does not hold it: {} holds it, and "
                  "only that fiber may unlock it",
                  name_, name_of(*holder_)));
}

void lock_base::waiter::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{} {} with {} waiting (at most {})", on_->name_,
                 static_cast<const void*>(on_), on_->waiting_, on_->waiting_peak_);
}

// Without memory nothing is found. If nothing else can run, the scheduler reports it.
void lock_base::waiter::watch_for_cycle() noexcept {
  on_->add(*this);
  // Something else may end a select().
  if (!is_alone() || !is_in_cycle(*fiber_)) return;
  try {
    const std::vector<const fiber_base*> cycle = cycle_of(*fiber_);
    if (!cycle.empty()) fail(std::make_exception_ptr(deadlock(report_of(cycle))));
  } catch (const std::bad_alloc&) {
  }
}

// Not all fibers of a cycle can return from conditions: each of them had the lock that the next one
// holds, and gave it up before that one did so with its own.
void lock_base::waiter::look_for_cycle() const noexcept {
  if (!is_in_cycle(*fiber_)) return;
  try {
    const std::vector<const fiber_base*> cycle = cycle_of(*fiber_);
    const auto found = std::find_if(cycle.rbegin(), cycle.rend(),
                                    [](const fiber_base* each) { return may_fail(*each); });
    if (found == cycle.rend()) return;
    wait_base::of<waiter>(**found).fail(std::make_exception_ptr(deadlock(report_of(cycle))));
  } catch (const std::bad_alloc&) {
  }
}

void lock_base::waiter::fail(std::exception_ptr found) noexcept {
  new (&deadlock_) std::exception_ptr(std::move(found));
  fiber_->cancel_wait(cancel_reason::closed);
}

std::error_code lock_base::waiter::error() {
  rethrow_interruption();
  if (reason_ == cancel_reason::closed) {
    const std::exception_ptr thrown = std::move(deadlock_);
    std::destroy_at(&deadlock_);
    std::rethrow_exception(thrown);
  }
  return cancellation_error();
}

}  // namespace ringlet::detail
