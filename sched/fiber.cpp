// The life of a fiber between its spawn and its last handle.
#include <ringlet/detail/greenlet_base.hpp>
#include <ringlet/fiber.hpp>

#include <fmt/format.h>

#include <utility>

namespace ringlet {

const wait_type join_wait::type{"join", &list_wait::cancel, &join_wait::describe};

fiber_base::fiber_base(scheduler& home, const std::source_location& spawned_at)
    : context(home),
      timer(home.timers(), &fiber_base::on_limit),
      id_(home.next_id()),
      parent_id_(home.running() != nullptr ? home.running()->id() : 0),
      spawned_at_(spawned_at) {}

fiber_base::~fiber_base() = default;

void fiber_base::kill() noexcept {
  if (done()) return;
  RINGLET_ASSERT(current_scheduler_or_null() == &home(),
                 "a fiber was killed on a thread that is not its scheduler's");
  context::kill();
}

void fiber_base::on_limit(timer& due) noexcept {
  auto& self = static_cast<fiber_base&>(due);
  const wait_type* type = self.current_wait().type;
  RINGLET_ASSERT(type != nullptr && type->cancel != nullptr,
                 "the limit of a wait outlived the wait");
  type->cancel(self, cancel_reason::timed_out);
}

void fiber_base::on_root_done() noexcept { home().finish(*this); }

void fiber_base::retire() noexcept {
  collect();
  if (greenlets_ != nullptr) std::exchange(greenlets_, nullptr)->leave();
  while (!joiners_.empty()) joiners_.front().complete();
  home().timers().give_place();
}

void fiber_base::set_failure(std::exception_ptr error) noexcept {
  set_outcome(outcome::error, std::move(error));
}

void fiber_base::release() noexcept {
  if (outcome_ == outcome::error && !observed_) {
    report_unobserved({id_, name(), error_});
  }
  destroy();
}

bool join_wait::begin(frame_record& at) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  RINGLET_ASSERT(fiber_ != target_, "a fiber joins itself, so it would wait for ever");
  if (target_->done()) return continue_or_yield(at);
  RINGLET_ASSERT(&target_->home() == &fiber_->home(),
                 "a fiber of another thread's scheduler cannot be joined");
  target_->joiners_.push_back(*this);
  suspend(type, at);
  return true;
}

bool kill_wait::begin_kill(frame_record& at) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  target_->kill();
  if (fiber_ == target_) {  // killed by itself: throws at once
    reason_ = cancel_reason::interrupted;
    return continue_or_yield(at);
  }
  return begin(at);
}

void join_wait::describe(const void* object, std::string& out) {
  const auto& self = static_cast<const join_wait&>(*static_cast<const wait_base*>(object));
  fmt::format_to(std::back_inserter(out), "fiber {}", self.target_->id());
  if (!self.target_->name().empty()) {
    fmt::format_to(std::back_inserter(out), " \"{}\"", self.target_->name());
  }
}

void throw_failure(fiber_base& failed) {
  if (const std::exception_ptr error = failed.error()) std::rethrow_exception(error);
  throw_error(errc::exited, "get");
}

fiber_base& current() {
  fiber_base* running = current_scheduler().running();
  RINGLET_ASSERT(running != nullptr, "current() was called outside of a fiber");
  return *running;
}

}  // namespace ringlet
