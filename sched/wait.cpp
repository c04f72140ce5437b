// The beginning and the end of a wait.
#include <ringlet/fiber.hpp>
#include <ringlet/wait.hpp>

namespace ringlet {
namespace {

// Of a wait that had what it wanted, but had used up its budget.
constexpr wait_type budget_wait{"yield (budget)", nullptr, nullptr};

}  // namespace

bool wait_base::yield_for_budget(frame_record& at) noexcept {
  fiber_->begin_wait(budget_wait, this, at);
  fiber_->home().push(*fiber_);
  return true;
}

void wait_base::arm_limit() noexcept { fiber_->arm_limit(limit_.resolve(fiber_->home().now())); }

void wait_base::disarm_limit_and_wake() noexcept {
  fiber_->disarm_limit();
  fiber_->wake();
}

std::error_code wait_base::cancellation_error() {
  if (reason_ == cancel_reason::none) return {};
  if (reason_ == cancel_reason::interrupted || fiber_->interrupted()) {
    fiber_->throw_interruption();
  }
  return reason_ == cancel_reason::closed ? errc::closed : errc::timed_out;
}

void list_wait::complete() noexcept {
  fiber_->home().check_thread("a fiber was woken on a thread that is not its scheduler's");
  unlink();
  wake();
}

void list_wait::cancel(context& who, cancel_reason reason) noexcept {
  auto& self = *static_cast<list_wait*>(static_cast<wait_base*>(who.current_wait().object));
  self.reason_ = reason;
  self.complete();
}

}  // namespace ringlet
