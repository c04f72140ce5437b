// Interruptions: kills, given exceptions and cancelled scopes, and the order in which they are
// thrown.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/context.hpp>

#include <memory>
#include <utility>

namespace ringlet {
using namespace extend;

thread_local constinit std::uintptr_t detail::stack_floor = 0;

const wait_type extend::ready_wait{"ready to run", nullptr, nullptr};

detail::failure_trail& detail::last_failure() noexcept {
  static thread_local constinit failure_trail trail;
  return trail;
}

void detail::note_failure(const frame_record& left) noexcept {
  failure_trail& trail = last_failure();
  // The trail continues only if `left` was awaiting, at this site, the coroutine that failed last.
  // Otherwise this is a new exception.
  const bool goes_on = trail.next == &left && trail.chain == left.chain &&
                       trail.site_of_next.line() == left.site.line() &&
                       trail.site_of_next.file_name() == left.site.file_name();
  if (!goes_on) trail.count = 0;
  if (trail.count != failure_trail::sites_max && left.site.line() != 0) {
    trail.sites[trail.count++] = left.site;
  }
  trail.chain = left.chain;
  trail.next = left.parent;
  trail.site_of_next = left.parent != nullptr ? left.parent->site : std::source_location();
  trail.owner = 0;
}

// A pending exception, given to interrupt_with(). The only allocation of an interruption; the
// exception itself is on the heap, too.
struct context::pending_error {
  std::exception_ptr error;
  std::uint32_t kills_before;  // plain kills since the previous given exception
  pending_error* next;
};

scope::scope(context& owner) noexcept : owner_(&owner), outer_(owner.innermost_) {
  owner.innermost_ = this;
}

scope::~scope() {
  if (owner_ == nullptr) return;
  RINGLET_ASSERT(owner_->innermost_ == this || is_abandoned_,
                 "scopes must end in the reverse order of their creation");
  scope** place = &owner_->innermost_;
  while (*place != this) place = &(*place)->outer_;
  *place = outer_;
  // Only for scopes whose end can change the answer: a kill may unwind thousands of nested limits,
  // and each update visits all that are left.
  if (cancelled_ || holds_back_) owner_->update_interrupted();
}

void scope::cancel() noexcept {
  if (std::exchange(cancelled_, true)) return;
  if (owner_ != nullptr) owner_->add_interruption();
}

void scope::hold_back(bool on) noexcept {
  holds_back_ = on;
  if (owner_ != nullptr) owner_->interrupt();
}

void scope::move_onto(const scope& old_base, scope& base) noexcept {
  scope* outermost = this;
  while (outermost->outer_ != &old_base) outermost = outermost->outer_;
  outermost->outer_ = &base;
}

void context::drop_errors() noexcept {
  while (errors_ != nullptr) delete std::exchange(errors_, errors_->next);
}

// The innermost scope that holds back interruptions from outside; null if nothing is held back.
const scope* context::holder() const noexcept {
  const scope* s = innermost_;
  while (s != nullptr && !s->holds_back_) s = s->outer_;
  return s;
}

// A scope of another context does not hold back kills of this one.
bool context::holds_back_kills(const scope* holder) const noexcept {
  return holder != nullptr && holder->owner_ == this;
}

void context::update_interrupted() noexcept {
  interrupted_ = innermost_->ends_waits() ||
                 ((kills_ != 0 || errors_ != nullptr) && !holds_back_kills(holder()));
}

void context::enter_scopes(scope& top) noexcept {
  innermost_ = &top;
  update_interrupted();
}

void context::throw_interruption() {
  const scope* const end = holder();
  const bool kills_are_held_back = holds_back_kills(end);
  std::uint32_t& kills = errors_ != nullptr ? errors_->kills_before : kills_;
  if (kills != 0 && !kills_are_held_back) {
    --kills;
    update_interrupted();
    throw cancelled();
  }
  if (errors_ != nullptr && !kills_are_held_back) {
    const std::unique_ptr<pending_error> first(std::exchange(errors_, errors_->next));
    update_interrupted();
    std::rethrow_exception(first->error);
  }
  const scope* const outermost = outermost_cancelled(end);
  RINGLET_ASSERT(outermost != nullptr, "an interruption was delivered without a reason");
  throw cancelled(outermost);
}

scope* context::outermost_cancelled(const scope* end) const noexcept {
  scope* outermost = nullptr;
  for (scope* s = innermost_; s != end; s = s->outer_) {
    if (s->cancelled_) outermost = s;
  }
  return outermost;
}

scope* context::last_to_unwind() const noexcept {
  const scope* const end = holder();
  const bool is_killed = (kills_ != 0 || errors_ != nullptr) && !holds_back_kills(end);
  return is_killed ? nullptr : outermost_cancelled(end);
}

void context::stop_holding_back() noexcept {
  for (scope* s = innermost_; s != nullptr; s = s->outer_) s->holds_back_ = false;
  interrupt();
}

std::exception_ptr context::first_given_error() const noexcept {
  return errors_ != nullptr && errors_->kills_before == 0 ? errors_->error : nullptr;
}

void context::kill() noexcept {
  ++kills_;
  add_interruption();
}

void context::interrupt_with(std::exception_ptr error) {
  pending_error** last = &errors_;
  while (*last != nullptr) last = &(*last)->next;
  *last = new pending_error{std::move(error), std::exchange(kills_, 0), nullptr};
  add_interruption();
}

void context::interrupt() noexcept {
  update_interrupted();
  end_interrupted_wait();
}

// If an interruption is pending already, another one changes nothing. Thousands of nested limits
// may expire at the same time.
void context::add_interruption() noexcept {
  if (!interrupted_) update_interrupted();
  end_interrupted_wait();
}

void context::end_interrupted_wait() noexcept {
  if (!interrupted_) return;
  const bool was_waiting = wait_.type != nullptr && wait_.type->cancel != nullptr;
  cancel_wait(cancel_reason::interrupted);
  on_interrupted(was_waiting);
}

}  // namespace ringlet
