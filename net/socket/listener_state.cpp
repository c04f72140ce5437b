// A listener's state: arming the accept, staging connections, backing off, closing.
// SPDX-License-Identifier: MIT
#include "listener_state.hpp"

#include <ringlet/detail/report.hpp>
#include <ringlet/fiber.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

// The first and the longest pause after a shortage. Another thread or process may end the shortage,
// and does not tell us.
constexpr steady_ns pause_first = 10'000'000;
constexpr steady_ns pause_last = 1'000'000'000;

/// What a failed accept means.
enum class verdict : std::uint8_t {
  /// Only one connection failed, or none: try again.
  passing,
  /// Descriptors, memory or epoll watches have run out: try again later.
  shortage,
  /// Trying again would fail again: accept() reports the error.
  refused,
};

// A passing error removes its connection from the backlog, so retrying comes to an end (accept(2)
// lists the network errors that it reports). Errors that are not known to do so count as refused.
verdict judge(std::int32_t answer) noexcept {
  if (answer >= 0) return verdict::passing;
  switch (-answer) {
    case ECANCELED:
    case EINTR:
    case EAGAIN:
    case ECONNABORTED:
    case ECONNRESET:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ETIMEDOUT:
      return verdict::passing;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:  // no epoll watches left
      return verdict::shortage;
    default:
      return verdict::refused;
  }
}

// What would end the shortage, for the message.
const char* remedy(std::int32_t error) noexcept {
  switch (-error) {
    case EMFILE:
      return "waiting until a descriptor is free (ulimit -n raises the limit)";
    case ENFILE:
      return "waiting until the system has a free descriptor (sysctl fs.file-max raises the limit)";
    case ENOSPC:
      return "waiting until an epoll watch is free (sysctl fs.epoll.max_user_watches raises the "
             "limit)";
    default:
      return "waiting until memory is free";
  }
}

}  // namespace

listener_state::listener_state(unique_fd taken, descriptor::family of)
    : closable(current_scheduler(), opcode::accept, &listener_state::on_completion),
      timer_entry(current_scheduler().timers()),
      family_(of) {
  operation::fd = taken.release();
  multishot = !is_adopted();
  scheduler_->hooks().add(*this);
  // An adopted listener is not registered: the engine would be woken for connections that another
  // user of the socket accepts.
  if (!is_adopted()) scheduler_->engine().register_fd(operation::fd);
}

listener_state::~listener_state() {
  if (scheduler_ != nullptr) scheduler_->timers().give_place();
}

extend::scheduler& listener_state::scheduler() const noexcept {
  RINGLET_ASSERT(scheduler_ != nullptr, "a listener was used after its scheduler had ended");
  scheduler_->check_thread("a listener was used on a thread that is not its scheduler's");
  return *scheduler_;
}

std::int32_t listener_state::call(operation& op) const noexcept {
  op.fd = fd();
  return scheduler().engine().call(op);
}

bool listener_state::wants_more() const noexcept {
  return !waiters_.empty() || (!is_adopted() && staged_.size() < staged_max);
}

void listener_state::arm() noexcept {
  if (in_flight() || closing_ || stopped_ || timer_entry::armed()) return;
  scheduler().engine().start(*this);
}

// Null if no connection is staged, or if there is no memory for its stream: then the connection
// stays staged and is tried again later.
descriptor::owner listener_state::next_staged() noexcept {
  if (staged_.empty()) return nullptr;
  try {
    auto made = descriptor::make(staged_.front(), descriptor::kind::connection, family_);
    staged_.pop_front();
    note_staged();
    return made;
  } catch (const std::bad_alloc&) {
    back_off(-ENOMEM);
    return nullptr;
  }
}

descriptor::owner listener_state::take_staged() noexcept {
  descriptor::owner taken = next_staged();
  if (taken != nullptr && !is_adopted() && staged_.size() < staged_max / 2) arm();
  return taken;
}

void listener_state::on_waiter_gone() noexcept {
  if (is_adopted() && waiters_.empty() && in_flight() && scheduler_ != nullptr) {
    scheduler_->engine().cancel(*this);
  }
}

void listener_state::enqueue(accept_wait_base& wait) noexcept {
  waiters_.push_back(wait);
  arm();
}

void listener_state::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<listener_state&>(op);
  if (done.result >= 0) {
    self.accepted(done.result);
  } else {
    self.failed(done.result);
  }
  if (done.more) return;
  if (self.closing_) return self.go_on_closing();
  if (self.stopped_ && self.has_ended()) return self.end_waits();
  if (judge(done.result) == verdict::refused) return;  // the next accept() tries again
  if (self.wants_more()) self.arm();
}

bool listener_state::hand_over(int made) noexcept {
  try {
    auto stream = descriptor::make(made, descriptor::kind::connection, family_);
    static_cast<accept_wait_base&>(waiters_.front()).deliver(std::move(stream));
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void listener_state::accepted(int made) noexcept {
  if (closing_) {
    unique_fd(made).reset();
  } else if (share_ == nullptr) {
    keep(made);
  } else if (share_->hand_over(made)) {
    pause_ = 0;
  } else {
    take_over(made);
  }
}

void listener_state::take_over(int made) noexcept {
  keep(made);
  share_->settle(staged_.size());
}

void listener_state::keep(int made) noexcept {
  unique_fd connection(made);
  if (staged_.empty() && !waiters_.empty() && hand_over(made)) {
    [[maybe_unused]] const int handed_over = connection.release();
    pause_ = 0;
    return;
  }
  try {
    staged_.push_back(made);
  } catch (const std::bad_alloc&) {
    connection.reset();  // no memory even to stage it: this connection is lost
    return back_off(-ENOMEM);
  }
  [[maybe_unused]] const int staged = connection.release();
  if (!waiters_.empty()) return back_off(-ENOMEM);
  pause_ = 0;
  if (staged_.size() >= staged_max) scheduler().engine().cancel(*this);
}

// Serves the waits for which there was no memory for a stream.
void listener_state::serve_staged() noexcept {
  while (!waiters_.empty()) {
    descriptor::owner made = next_staged();
    if (made == nullptr) return;
    pause_ = 0;
    static_cast<accept_wait_base&>(waiters_.front()).deliver(std::move(made));
  }
}

void listener_state::failed(std::int32_t error) noexcept {
  if (closing_) return;
  switch (judge(error)) {
    case verdict::passing:
      return;
    case verdict::shortage:
      return back_off(error);
    case verdict::refused:
      while (!waiters_.empty()) static_cast<accept_wait_base&>(waiters_.front()).fail(error);
      return;
  }
}

// The connection stays in the backlog or staged, so an immediate retry would fail immediately.
void listener_state::back_off(std::int32_t error) noexcept {
  if (timer_entry::armed()) return;
  if (!std::exchange(complained_, true)) {
    detail::report("ringlet: accept: %s; %s\n", std::strerror(-error), remedy(error));
  }
  pause_ = pause_ == 0 ? pause_first : std::min(2 * pause_, pause_last);
  scheduler().timers().arm(*this, scheduler().now() + pause_, &listener_state::on_retry);
  scheduler().engine().descriptor_waiters().add(*this);
  if (in_flight()) scheduler().engine().cancel(*this);
}

void listener_state::retry() noexcept {
  scheduler().timers().disarm(*this);
  descriptor_waiter::unlink();
  serve_staged();
  if (stopped_ && has_ended()) end_waits();
  if (wants_more()) arm();
}

// What was accepted before is delivered first: the request may end with a connection.
void listener_state::stop() noexcept {
  if (closing_ || stopped_ || scheduler_ == nullptr) return;
  scheduler();  // checks the thread
  stopped_ = true;
  leave_group();
  if (in_flight()) {
    scheduler_->engine().cancel(*this);
  } else if (has_ended()) {
    end_waits();
  }
}

void listener_state::on_retry(timer_entry& due) noexcept {
  static_cast<listener_state&>(due).retry();
}

void listener_state::on_descriptor_freed() noexcept { retry(); }

void listener_state::note_staged() noexcept {
  if (share_ != nullptr) share_->set_staged(staged_.size());
}

void listener_state::leave_group() noexcept {
  if (share_ != nullptr && !std::exchange(has_left_, true)) share_->leave();
}

void listener_state::drop_untaken() noexcept {
  while (!staged_.empty()) {
    if (share_ != nullptr && scheduler_ != nullptr) {
      share_->pass_on(staged_.front());
    } else {
      unique_fd(staged_.front()).reset();
    }
    staged_.pop_front();
  }
  note_staged();
}

const char* listener_state::thread_rule() const noexcept {
  return "a listener was closed or destroyed on a thread that is not its scheduler's";
}

// No shutdown(2): it would end listening for every process that shares the socket.
void listener_state::begin_close() noexcept {
  file_.remove();
  leave_group();
  if (scheduler_ != nullptr) scheduler_->timers().disarm(*this);
  descriptor_waiter::unlink();
  end_waits();
}

void listener_state::end_waits() noexcept {
  while (!waiters_.empty()) {
    auto& wait = static_cast<accept_wait_base&>(waiters_.front());
    wait.reason_ = cancel_reason::closed;
    wait.fail(-ECANCELED);
  }
}

void listener_state::on_shutdown() noexcept {
  leave_group();
  scheduler_->timers().disarm(*this);
  descriptor_waiter::unlink();
  closing_ = true;
  scheduler_->engine().cancel(*this);
}

}  // namespace ringlet
