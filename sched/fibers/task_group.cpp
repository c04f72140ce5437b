// The members of a group, and how the failure of one ends the rest.
// SPDX-License-Identifier: MIT
#include <ringlet/task_group.hpp>
#include <ringlet/when_all.hpp>

#include <fmt/format.h>

#include <iterator>
#include <memory>
#include <utility>

namespace ringlet {
using namespace extend;

namespace {

std::string text_of(const std::vector<std::exception_ptr>& errors) {
  std::string text = fmt::format("{} failed in a group:", errors.size());
  for (const std::exception_ptr& error : errors) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      fmt::format_to(std::back_inserter(text), " {};", e.what());
    } catch (...) {
      text += " an exception that is not a std::exception;";
    }
  }
  text.pop_back();
  return text;
}

}  // namespace

group_error::group_error(std::vector<std::exception_ptr> errors)
    : errors_(std::move(errors)), text_(text_of(errors_)) {}

// Keeps its fiber alive, for the error. Lives until the fiber has ended; if the fiber failed, as
// long as the group.
struct task_group::member : detail::group_member {
  member(task_group& group, fiber_base& child) noexcept
      : group_member(
            [](done_watcher& watcher) noexcept {
              auto& self = static_cast<member&>(watcher);
              self.owner->on_ended(self);
            },
            child),
        owner(&group) {}

  task_group* owner;
};

const wait_type task_group::end_wait::type = make_type<end_wait>("end of a group");

task_group::task_group(failures policy) : policy_(policy) {}

task_group::~task_group() {
  RINGLET_ASSERT(
      alive_ == 0,
      "a group ended while fibers of it were alive: the greenlet in which it is open was "
      "dropped; cancel the group, and let its call return first");
  // Reports the body's error if another exception has hidden it. Errors of fibers are reported when
  // the fibers are destroyed.
  if (body_error_ != nullptr) {
    detail::report_failure_of(starter_, std::move(body_error_));
  }
  while (!failed_.empty()) delete static_cast<member*>(&failed_.pop_front());
  open_.clear();
}

void task_group::add(fiber_base& child) {
  extend::scheduler& scheduler = starter_.scheduler();
  scheduler.check_thread("a fiber was spawned in a group of another thread's scheduler");
  if (child.interrupted()) {
    has_refused_ = true;
    return scheduler.reject(child);
  }
  std::unique_ptr<member> added;
  try {
    added = std::make_unique<member>(*this, child);
  } catch (...) {
    scheduler.reject(child);
    throw;
  }
  add_member(*added.release());
  scheduler.adopt(child);
}

void task_group::on_ended(member& ended) noexcept {
  remove_member(ended);
  if (ended.who->result() == outcome::error && policy_ == failures::end_the_group) {
    failed_.push_back(ended);
    ++failed_count_;
    cancel();
  } else {
    delete &ended;
  }
  if (alive_ != 0) return;
  if (waiter_ != nullptr) std::exchange(waiter_, nullptr)->wake();
  tell_starter();
}

void task_group::cancel() noexcept {
  check_open();
  starter_.scheduler().check_thread(
      "a group was cancelled on a thread that is not its scheduler's");
  cancel_members();
  if (body_) body_->cancel();
}

std::exception_ptr task_group::on_body_thrown() noexcept {
  try {
    throw;
  } catch (const cancelled& reason) {
    return body_ && reason.from(&*body_) ? nullptr : std::current_exception();
  } catch (...) {
    if (policy_ == failures::are_outcomes) return std::current_exception();
    body_error_ = std::current_exception();
    failed_before_body_ = failed_count_;
    return nullptr;
  }
}

void task_group::throw_errors() {
  if (!has_failed()) return;
  std::vector<std::exception_ptr> all;
  all.reserve(failed_count_ + 1);
  while (!failed_.empty()) {
    const std::unique_ptr<member> last(static_cast<member*>(&failed_.pop_front()));
    all.push_back(last->who->error());
  }
  if (body_error_ != nullptr) {
    all.insert(all.begin() + static_cast<std::ptrdiff_t>(failed_before_body_),
               std::exchange(body_error_, nullptr));
  }
  throw group_error(std::move(all));
}

void detail::report_all_but_first(const group_error& error) noexcept {
  const fiber_base& caller = current();
  for (std::size_t i = 1; i < error.errors().size(); ++i) {
    report_failure_of(caller, error.errors()[i]);
  }
}

bool task_group::end_wait::begin(frame_record& at) noexcept {
  // Not a checkpoint until all fibers have ended: an interruption of the caller ends the group
  // first.
  const bool goes_on = enter(at);
  if (group_->alive_ == 0) {
    // Success wins, but a group that refused fibers has not succeeded.
    if (!group_->has_refused_) reason_ = cancel_reason::none;
    return continue_or_yield(at);
  }
  group_->waiter_ = this;
  suspend(type, at);
  if (goes_on) return true;
  fiber_->restore_budget();
  fiber_->prepare_to_unwind();
  fiber_->hold_when_woken();
  return true;
}

void task_group::end_wait::on_cancel(cancel_reason reason) noexcept {
  remember(reason);
  group_->cancel_members();
}

void task_group::end_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "of {} fiber{}", group_->alive_,
                 group_->alive_ == 1 ? "" : "s");
}

}  // namespace ringlet
