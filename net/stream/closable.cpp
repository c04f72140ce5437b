// Closing a descriptor without its number being reused too early.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/closable.hpp>
#include <ringlet/unique_fd.hpp>

#include <utility>

namespace ringlet {
using namespace extend;

namespace {

// Not cancellable: the operations that it waits for have already been cancelled.
constexpr wait_type close_type{"close", nullptr, nullptr};

}  // namespace

bool detail::closable::close(close_wait* waiter) noexcept {
  if (closing_) return true;
  closing_ = true;
  if (is_left_behind()) [[unlikely]] {
    // Close only the child's copy of the descriptor: the peer must not notice. Keep everything
    // else: suspended calls of the parent's fibers refer to it.
    if (const int fd = std::exchange(operation::fd, -1); owns_number()) unique_fd(fd).reset();
    return true;
  }
  if (scheduler_ != nullptr) scheduler_->check_thread(thread_rule());
  begin_close();
  drop_untaken();
  if (is_idle()) {
    finish_close();
    return true;
  }
  closer_ = waiter;
  if (in_flight()) scheduler_->engine().cancel(*this);
  return false;
}

void detail::closable::close_number() noexcept {
  const int fd = std::exchange(operation::fd, -1);
  if (fd >= 0 && !owns_number()) {
    if (scheduler_ != nullptr) scheduler_->engine().unregister_fd(fd);
  } else {
    // Closed by the engine, or directly if the engine is gone and with it all operations in flight.
    unique_fd(fd).reset();
  }
}

void detail::closable::finish_close() noexcept {
  drop_untaken();  // a read that the close ended may have left part of a buffer
  close_number();
  if (close_wait* waiter = std::exchange(closer_, nullptr)) waiter->wake_external();
  if (released_) {
    shutdown_hook::unlink();
    delete this;
  }
}

void detail::closable::release() noexcept {
  released_ = true;
  if (!closing_ || is_left_behind()) {
    close(nullptr);
  } else if (is_idle()) {
    finish_close();
  }
}

void detail::closable::on_scheduler_gone() noexcept {
  drop_untaken();
  scheduler_ = nullptr;
}

bool close_wait::begin(frame_record& at) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  if (closed_ == nullptr || closed_->close(this)) return continue_or_yield(at);
  suspend_external(close_type, at);
  return true;
}

}  // namespace ringlet
