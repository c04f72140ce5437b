// Closing without letting the number be reused too early.
#include <ringlet/descriptor.hpp>
#include <ringlet/unique_fd.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace ringlet {
namespace {

// Nothing can hasten it: what it waits for has been cancelled already.
constexpr wait_type close_type{"close", nullptr, nullptr};

void call_nothing(operation&, const completion&) noexcept {}

}  // namespace

descriptor::descriptor(scheduler& home, int fd, kind what) noexcept
    : home_(&home), fd_(fd), kind_(what) {
  home.add_guest(*this);
}

descriptor::owner descriptor::make(int fd, kind what) {
  return owner(new descriptor(current_scheduler(), fd, what));
}

std::int32_t descriptor::call(operation& op) noexcept {
  if (closing_ || home_ == nullptr) return op.answer = -EBADF;
  op.fd = fd_;
  return home_->carrier().call(op);
}

bool descriptor::close(close_wait* waiter) noexcept {
  RINGLET_ASSERT(home_ == nullptr || home_ == current_scheduler_or_null(),
                 "a stream was closed or destroyed on another thread than that of its scheduler");
  if (closing_) return true;
  closing_ = true;
  if (kind_ == kind::connection && home_ != nullptr) {
    operation op(opcode::shutdown, &call_nothing);
    op.fd = fd_;
    op.flags = SHUT_RDWR;
    home_->carrier().call(op);
  }
  if (idle()) {
    finish_close();
    return true;
  }
  closer_ = waiter;
  for (io_wait* wait : in_flight_) {
    if (wait != nullptr) wait->cancel_for_close();
  }
  return false;
}

void descriptor::finish_close() noexcept {
  const int fd = std::exchange(fd_, -1);
  if (fd >= 0 && kind_ != kind::borrowed) {
    if (home_ != nullptr) {
      operation op(opcode::close, &call_nothing);
      op.fd = fd;
      home_->carrier().call(op);
      home_->descriptor_freed();
    } else {
      unique_fd(fd).reset();  // the engine is gone, and with it all that was in flight
    }
  }
  if (close_wait* waiter = std::exchange(closer_, nullptr)) waiter->wake();
  if (released_) {
    unlink();
    delete this;
  }
}

void descriptor::release() noexcept {
  released_ = true;
  if (!closing_) {
    close(nullptr);
  } else if (idle()) {
    unlink();
    delete this;
  }
}

int descriptor::release_fd() noexcept {
  RINGLET_ASSERT(idle(), "a descriptor was released while a read or write was in flight");
  closing_ = true;
  return std::exchange(fd_, -1);
}

void descriptor::on_shutdown() noexcept {
  RINGLET_ASSERT(idle(), "a read or write was in flight when the scheduler ended");
}

void descriptor::on_scheduler_gone() noexcept { home_ = nullptr; }

bool io_wait::refuse(frame_record& at) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  // Decided now: when this fiber has its turn, the descriptor may be gone.
  refusal_ = on_->is_cut_short(which_) ? errc::cut_short : errc::closed;
  answer = -EBADF;
  return continue_or_yield(at);
}

bool io_wait::begin_nothing(frame_record& at) noexcept {
  enter(at);
  return continue_or_yield(at);
}

void io_wait::retry(std::int32_t result) noexcept {
  if (code == opcode::poll) {
    // It is ready, or it cannot be waited for: the call itself will tell.
    code = which_ == direction::read ? opcode::read : opcode::write;
  } else if (result == -EAGAIN && (code == opcode::read || code == opcode::write)) {
    // Somebody who shares the descriptor has set O_NONBLOCK, and older kernels then give up instead
    // of waiting for a terminal or a pipe.
    code = opcode::poll;
    flags = which_ == direction::read ? POLLIN : POLLOUT;
  } else {
    poll_first = true;
  }
  if (restart()) return;
  answer = -ECANCELED;
  finish();
}

std::error_code io_wait::failure() {
  return refusal_ == errc{} ? operation_wait::failure() : refusal_;
}

bool close_wait::begin(frame_record& at) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  if (closed_ == nullptr || closed_->close(this)) return continue_or_yield(at);
  suspend(close_type, at);
  return true;
}

}  // namespace ringlet
