// Arming, staging, backing off and closing of a listener.
#include "listener_state.hpp"

#include <ringlet/fiber.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

namespace ringlet {
namespace {

// Connections that are accepted before anybody asks for them.
constexpr std::size_t staged_max = 64;
// How long to wait for a descriptor that somebody outside of ringlet may close.
constexpr steady_ns pause_first = 10'000'000;
constexpr steady_ns pause_last = 1'000'000'000;

bool is_shortage(std::int32_t answer) noexcept {
  return answer == -EMFILE || answer == -ENFILE || answer == -ENOBUFS || answer == -ENOMEM;
}

const char* what_is_awaited(std::int32_t answer) noexcept {
  if (answer == -EMFILE) return "waiting until a descriptor is free (ulimit -n raises the limit)";
  if (answer == -ENFILE) {
    return "waiting until a descriptor is free (the sysctl fs.file-max raises the limit)";
  }
  return "waiting until the system has memory";
}

// The listener itself is unusable; everything else is about one connection that failed (accept(2)
// names the errors of the network that are reported here).
bool is_final(std::int32_t answer) noexcept {
  return answer == -EBADF || answer == -EINVAL || answer == -ENOTSOCK || answer == -EOPNOTSUPP;
}

}  // namespace

listener_state::listener_state(unique_fd socket, ringlet::descriptor::family of)
    : operation(opcode::accept, &listener_state::on_completion),
      timer(current_scheduler().timers(), &listener_state::on_retry),
      home_(&current_scheduler()),
      socket_(std::move(socket)),
      family_(of) {
  operation::fd = socket_.get();
  multishot = !is_adopted();
  home_->add_guest(*this);
  // An engine that remembers an adopted one would be woken for connections that it does not want.
  if (!is_adopted()) home_->carrier().keep(socket_.get());
}

scheduler& listener_state::home() const noexcept {
  RINGLET_ASSERT(home_ != nullptr, "a listener was used after its scheduler had ended");
  home_->check_thread("a listener was used on a thread that is not its scheduler's");
  return *home_;
}

std::int32_t listener_state::call(operation& op) const noexcept {
  op.fd = descriptor();
  return home().carrier().call(op);
}

bool listener_state::wants_more() const noexcept {
  return !waiters_.empty() || (!is_adopted() && staged_.size() < staged_max);
}

void listener_state::arm() noexcept {
  if (in_flight() || closing_ || timer::armed()) return;
  home().carrier().start(*this);
}

int listener_state::take_staged() noexcept {
  if (staged_.empty()) return -1;
  const int taken = staged_.front();
  staged_.pop_front();
  if (!is_adopted() && staged_.size() < staged_max / 2) arm();
  return taken;
}

void listener_state::on_waiter_gone() noexcept {
  if (is_adopted() && waiters_.empty() && in_flight() && home_ != nullptr) {
    home_->carrier().cancel(*this);
  }
}

void listener_state::enqueue(accept_wait& wait) noexcept {
  waiters_.push_back(wait);
  arm();
}

void listener_state::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<listener_state&>(op);
  if (done.result >= 0) {
    self.accepted(done.result);
  } else if (done.result != -ECANCELED) {
    self.failed(done.result);
  }
  if (done.more) return;
  if (self.closing_) return self.finish_close();
  if (is_final(done.result)) return;  // it would fail at once, and again: until somebody asks
  if (self.wants_more()) self.arm();
}

void listener_state::accepted(int made) noexcept {
  pause_ = 0;
  if (closing_) {
    unique_fd(made).reset();
    home().descriptor_freed();
    return;
  }
  if (!waiters_.empty()) return static_cast<accept_wait&>(waiters_.front()).deliver(made);
  try {
    staged_.push_back(made);
  } catch (const std::bad_alloc&) {
    unique_fd(made).reset();
  }
  if (staged_.size() >= staged_max) home().carrier().cancel(*this);
}

void listener_state::failed(std::int32_t error) noexcept {
  if (closing_) return;
  if (is_shortage(error)) return back_off(error);
  if (!is_final(error)) return;
  while (!waiters_.empty()) static_cast<accept_wait&>(waiters_.front()).deliver(error);
}

// The connection stays in the backlog, so trying again at once would fail at once.
void listener_state::back_off(std::int32_t error) noexcept {
  if (!std::exchange(complained_, true)) {
    std::fprintf(stderr, "ringlet: accept: %s; %s\n", std::strerror(-error),
                 what_is_awaited(error));
  }
  pause_ = pause_ == 0 ? pause_first : std::min(2 * pause_, pause_last);
  home().timers().arm(*this, home().now() + pause_);
  home().add_starved(*this);
}

void listener_state::retry() noexcept {
  home().timers().disarm(*this);
  descriptor_waiter::unlink();
  arm();
}

void listener_state::on_retry(timer& due) noexcept { static_cast<listener_state&>(due).retry(); }

void listener_state::on_descriptor_freed() noexcept { retry(); }

void listener_state::close_staged() noexcept {
  while (!staged_.empty()) {
    unique_fd(staged_.front()).reset();
    staged_.pop_front();
  }
}

bool listener_state::close(close_listener_wait* waiter) noexcept {
  if (closing_) return true;
  if (home_ != nullptr && home_->is_left_behind()) [[unlikely]] {
    // The child's copy of the number goes; the rest stays, for the parent's fibers refer to it.
    closing_ = true;
    socket_.reset();
    return true;
  }
  if (home_ != nullptr) {
    home_->check_thread(
        "a listener was closed or destroyed on another thread than that of its "
        "scheduler");
  }
  closing_ = true;
  if (home_ != nullptr) home_->timers().disarm(*this);
  descriptor_waiter::unlink();
  close_staged();
  while (!waiters_.empty()) {
    auto& wait = static_cast<accept_wait&>(waiters_.front());
    wait.reason_ = cancel_reason::closed;
    wait.deliver(-ECANCELED);
  }
  if (!in_flight()) {
    finish_close();
    return true;
  }
  closer_ = waiter;
  home_->carrier().cancel(*this);
  return false;
}

// A listener is never shut down: that would end it for other processes that share it.
void listener_state::finish_close() noexcept {
  if (home_ != nullptr && socket_) {
    operation op(opcode::close, nullptr);
    op.fd = socket_.release();
    home_->carrier().call(op);
    home_->descriptor_freed();
  }
  socket_.reset();
  if (close_listener_wait* waiter = std::exchange(closer_, nullptr)) waiter->wake_with_hope();
  if (released_) {
    if (home_ != nullptr) home_->timers().give_place();
    scheduler_guest::unlink();
    delete this;
  }
}

void listener_state::release() noexcept {
  released_ = true;
  if (!closing_ || (home_ != nullptr && home_->is_left_behind())) {
    close(nullptr);
  } else if (!in_flight()) {
    finish_close();
  }
}

void listener_state::on_shutdown() noexcept {
  home_->timers().disarm(*this);
  descriptor_waiter::unlink();
  closing_ = true;
  home_->carrier().cancel(*this);
}

void listener_state::on_scheduler_gone() noexcept {
  home_ = nullptr;
  close_staged();
}

}  // namespace ringlet
