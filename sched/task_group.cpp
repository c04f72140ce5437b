// The members of a group, and how one of them ends the others.
#include <ringlet/task_group.hpp>

#include <fmt/format.h>

#include <iterator>
#include <memory>

namespace ringlet {
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

// Holds its fiber, for its error; lives until that has ended, or as long as the group if it failed.
struct task_group::member : done_watcher, list_hook<task_group> {
  member(task_group& group, fiber_base& child) noexcept
      : done_watcher([](done_watcher& watcher) noexcept {
          auto& self = static_cast<member&>(watcher);
          self.owner->on_ended(self);
        }),
        owner(&group),
        who(&child) {
    who->add_reference();
  }
  ~member() { who->drop_reference(); }

  task_group* owner;
  fiber_base* who;
};

const wait_type task_group::end_wait::type{"end of a group", &end_wait::cancel,
                                           &end_wait::describe};

task_group::task_group(failures policy)
    : home_(current_scheduler()), around_(*current().innermost_scope()), policy_(policy) {}

task_group::~task_group() {
  RINGLET_ASSERT(alive_ == 0, "a group ended while fibers of it were alive");
  // What nobody has looked at is reported as the fibers go.
  while (!failed_.empty()) delete static_cast<member*>(&failed_.pop_front());
}

void task_group::add(fiber_base& child) {
  home_.check_thread("a fiber was spawned in a group of another thread's scheduler");
  std::unique_ptr<member> added;
  try {
    added = std::make_unique<member>(*this, child);
  } catch (...) {
    home_.reject(child);
    throw;
  }
  child.watch(*added);
  members_.push_back(*added.release());
  ++alive_;
  home_.adopt(child);
}

void task_group::on_ended(member& ended) noexcept {
  --alive_;
  static_cast<list_hook<task_group>&>(ended).unlink();
  if (ended.who->result() == outcome::error && policy_ == failures::end_the_group) {
    failed_.push_back(ended);
    ++failed_count_;
    cancel();
  } else {
    delete &ended;
  }
  if (alive_ == 0 && waiter_ != nullptr) std::exchange(waiter_, nullptr)->wake();
}

void task_group::cancel() noexcept {
  home_.check_thread("a group was cancelled on a thread that is not its scheduler's");
  // Those that come later find it cancelled.
  if (around_.is_cancelled()) return;
  around_.cancel();
  if (body_) body_->cancel();
  for (member* m = members_.next(nullptr); m != nullptr; m = members_.next(m)) m->who->interrupt();
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
    all.insert(all.begin() + static_cast<std::ptrdiff_t>(failed_before_body_), body_error_);
  }
  throw group_error(std::move(all));
}

bool task_group::end_wait::begin(frame_record& at) noexcept {
  // Not a checkpoint before all have ended: what ends the caller ends the group first.
  const bool goes_on = enter(at);
  if (group_->alive_ == 0) {
    reason_ = cancel_reason::none;
    return continue_or_yield(at);
  }
  if (!goes_on) group_->cancel();
  group_->waiter_ = this;
  suspend(type, at);
  return true;
}

void task_group::end_wait::cancel(context& who, cancel_reason reason) noexcept {
  auto& self = static_cast<end_wait&>(*static_cast<wait_base*>(who.current_wait().object));
  self.remember(reason);
  self.group_->cancel();
}

void task_group::end_wait::describe(const void* object, std::string& out) {
  const auto& self = static_cast<const end_wait&>(*static_cast<const wait_base*>(object));
  fmt::format_to(std::back_inserter(out), "of {} fibers", self.group_->alive_);
}

}  // namespace ringlet
