// Each call of splice(2) is answered at once; what waits is a poll.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/splice_waits.hpp>

#include <poll.h>

#include <array>
#include <cerrno>
#include <utility>

namespace ringlet::extend {
namespace {

// The most that one call moves, and the size of the pipe. Each call costs about as much as copying
// 16 KiB, so the usual 64 KiB are too few; more would let other connections wait.
constexpr std::uint32_t splice_max = 256 * 1024;

std::int32_t splice_now(const descriptor& socket, int pipe, bool fills_pipe) noexcept {
  operation now(opcode::splice, nullptr);
  now.splice = {pipe, fills_pipe};
  now.length = splice_max;
  return socket.call(now);
}

// What a seccomp filter, a kind of socket without splice(2), or a lack of memory answers. Any other
// error is the connection's.
bool is_refusal(std::int32_t answer) noexcept {
  switch (-answer) {
    case EPERM:
    case EACCES:
    case ENOSYS:
    case EINVAL:
    case EOPNOTSUPP:
    case ENOMEM:
      return true;
    default:
      return false;
  }
}

}  // namespace

const wait_type splice_read_wait::type = make_type<splice_read_wait>("splice");
const wait_type splice_write_wait::type = make_type<splice_write_wait>("splice");

bool splice_pipe::open(descriptor& to) noexcept {
  std::array<int, 2> made{-1, -1};
  operation op(opcode::open_pipe, nullptr);
  op.data = made.data();
  op.length = sizeof made;
  op.pipe.size = splice_max;
  if (to.call(op) < 0) return false;
  end_ = unique_fd(made[0]);
  begin_ = unique_fd(made[1]);
  return splice_now(to, end_.get(), false) == -EAGAIN;  // the pipe is empty
}

std::int32_t splice_pipe::fill(const descriptor& from) noexcept {
  const std::int32_t count = splice_now(from, begin_.get(), true);
  is_begun_ = false;
  left_ = count > 0 ? static_cast<std::uint32_t>(count) : 0;
  return count;
}

std::int32_t splice_pipe::drain(const descriptor& to) noexcept {
  const std::int32_t count = splice_now(to, end_.get(), false);
  if (count > 0) {
    is_begun_ = true;
    left_ -= static_cast<std::uint32_t>(count);
  }
  return count;
}

// From the socket to the pipe

splice_read_wait::splice_read_wait(descriptor& from, splice_pipe& filled,
                                   const time_limit& timeout) noexcept
    : io_wait(from, opcode::poll, &splice_read_wait::on_completion, timeout), pipe_(filled) {
  poll.events = POLLIN;
}

bool splice_read_wait::begin(frame_record& at) noexcept {
  if (!may_claim() || on().is_receiving() || on().has_arrived()) return begin_nothing(at);
  fd = on().fd();
  if (!at.chain->interrupted()) claim(*this);
  return begin_operation(type, at);
}

void splice_read_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<splice_read_wait&>(op);
  if (self.retries_.wants(done.result)) {
    if (self.restart()) return;
    self.answer = -ECANCELED;
  }
  self.finish_transfer();
}

// The poll has taken nothing, so the pipe is filled only here, where nothing can end the call any
// more.
result<std::size_t> splice_read_wait::take() {
  const claim_end last(*this);
  if (!has_claim()) {
    rethrow_interruption();
    return 0;
  }
  if (cancellation_error()) return 0;
  if (answer < 0) return system_error_code(answer);
  const std::int32_t count = pipe_.fill(on());
  if (count > 0) {
    on().count(direction::read) += static_cast<std::uint32_t>(count);
    return static_cast<std::size_t>(count);
  }
  if (is_refusal(count)) return system_error_code(count);
  // The kernel reports an error only once.
  if (count != -EAGAIN && count != 0) on().keep_error(count);
  return 0;
}

std::size_t splice_read_wait::await_resume() { return detail::value_or_throw(take(), type.name); }

// From the pipe to the socket

splice_write_wait::splice_write_wait(descriptor& to, splice_pipe& drained,
                                     const time_limit& timeout) noexcept
    : io_wait(to, opcode::poll, &splice_write_wait::on_completion, timeout), pipe_(drained) {
  poll.events = POLLOUT;
}

bool splice_write_wait::begin(frame_record& at) noexcept {
  if (!may_claim()) {
    answer = -EBADF;
    return begin_nothing(at);
  }
  if (at.chain->interrupted()) {
    if (pipe_.is_begun()) on().set_partial(direction::write);
    return begin_nothing(at);
  }
  claim(*at.chain);
  // After a call that has not drained the pipe the socket is full.
  if (!pipe_.is_begun()) {
    answer = pipe_.drain(on());
    if (answer != -EAGAIN) return begin_nothing(at);
  }
  fd = on().fd();
  return begin_operation(type, at);
}

void splice_write_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<splice_write_wait&>(op);
  bool tries_again = self.retries_.wants(done.result);
  if (done.result >= 0) {
    self.answer = self.pipe_.drain(self.on());
    tries_again = self.answer == -EAGAIN;
  }
  if (tries_again) {
    if (self.restart()) return;
    self.answer = -ECANCELED;
  }
  self.finish_transfer();
}

result<std::size_t> splice_write_wait::take() {
  const claim_end last(*this);
  if (!has_claim()) rethrow_interruption();
  if (answer > 0) {
    on().count(direction::write) += static_cast<std::uint32_t>(answer);
    return static_cast<std::size_t>(answer);
  }
  if (answer == 0) answer = -EPIPE;  // the socket accepts no bytes
  const bool is_interrupted = reason_ == cancel_reason::interrupted;
  if ((answer == -ECANCELED || is_interrupted) && pipe_.is_begun()) {
    on().set_partial(direction::write);
  }
  return transfer_failure();
}

std::size_t splice_write_wait::await_resume() { return detail::value_or_throw(take(), type.name); }

}  // namespace ringlet::extend
