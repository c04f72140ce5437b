// The beginning and the end of a wait.
#include <ringlet/fiber.hpp>
#include <ringlet/wait.hpp>

namespace ringlet {
namespace {

// Of a wait that had what it wanted, but had used up its budget.
constexpr wait_type budget_wait{"yield (budget)", nullptr, nullptr};

}  // namespace

bool wait_base::enter(const frame_record& at) noexcept {
  fiber_ = static_cast<fiber_base*>(at.chain);
  if (!fiber_->interrupted()) return true;
  reason_ = cancel_reason::interrupted;
  return false;
}

void wait_base::suspend(const wait_type& type, frame_record& at) noexcept {
  fiber_->begin_wait(type, this, at);
  if (!limit_.is_forever()) fiber_->arm_limit(limit_.resolve(fiber_->home().now()));
}

void wait_base::wake() noexcept {
  fiber_->disarm_limit();
  fiber_->wake();
}

bool wait_base::continue_or_yield(frame_record& at) noexcept {
  if (fiber_->may_continue()) return false;
  fiber_->begin_wait(budget_wait, this, at);
  fiber_->home().push(*fiber_);
  return true;
}

void wait_base::rethrow_interruption() {
  if (reason_ == cancel_reason::interrupted) fiber_->throw_interruption();
}

void list_wait::complete() noexcept {
  unlink();
  wake();
}

void list_wait::cancel(context& who, cancel_reason reason) noexcept {
  auto& self = *static_cast<list_wait*>(static_cast<wait_base*>(who.current_wait().object));
  self.reason_ = reason;
  self.complete();
}

}  // namespace ringlet
