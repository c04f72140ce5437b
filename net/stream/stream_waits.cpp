// The waits for bytes: short reads and writes, running out of buffers, and the state after a
// cancellation.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/stream_waits.hpp>

#include <limits.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ringlet {
using namespace extend;

namespace {

// The most bytes that one request sends or reads. The kernel moves a request to a worker thread if
// it is woken more than 128 times before it is complete. A sender is woken when about a third of
// its socket's buffer is free, so a request of this size stays far below that.
constexpr std::size_t request_max = 256 * 1024;

// What EINVAL means for a read or write, for instance of an eventfd or an epoll instance.
constexpr const char* unreadable =
    "this kind of descriptor cannot be read, or needs a larger buffer";
constexpr const char* unwritable =
    "this kind of descriptor cannot be written to, or does not accept these bytes";

std::uint32_t request_size(std::size_t left) noexcept {
  return static_cast<std::uint32_t>(std::min(left, request_max));
}

}  // namespace

const wait_type receive_wait::type = make_type<receive_wait>("receive");
const wait_type readable_wait::type = make_type<readable_wait>("readable");
const wait_type read_some_wait::type = make_type<read_some_wait>("read_some");
const wait_type read_exact_wait::type = make_type<read_exact_wait>("read_exact");
const wait_type write_all_wait::type = make_type<write_all_wait>("write_all");
const wait_type gather_wait::type = make_type<gather_wait>("write_all");

// receive

bool receive_wait::begin(frame_record& at) noexcept {
  if (!may_claim()) [[unlikely]] {
    enter(at);
    return continue_or_yield(at);
  }
  if (!enter(at)) return continue_or_yield(at);
  claim(*this);
  if (take_arrived()) return continue_or_yield(at);
  suspend_external(type, at);
  on().await_arrival();
  return true;
}

bool receive_wait::take_arrived() noexcept {
  return on().take_buffer(buffer_, answer_) || on().take_end(answer_);
}

void receive_wait::on_arrival() noexcept {
  descriptor& from = on();
  if (!take_arrived() && !(from.found_no_buffer() && from.receive_privately(memory_, answer_))) {
    // The request ended without data: start another, unless this wait has been cancelled.
    if (reason_ == cancel_reason::none) return from.await_arrival();
  }
  wake_external();
}

void receive_wait::on_cancel(cancel_reason reason) noexcept {
  remember(reason);
  on().cancel_receiving();
}

result<buffer> receive_wait::take() {
  const claim_end last(*this);
  if (!has_claim()) {
    rethrow_interruption();
    return make_error_code(refusal());
  }
  if (answer_ > 0) [[likely]] {
    const auto size = static_cast<std::uint32_t>(answer_);
    on().count(direction::read) += size;
    buffer_pool& pool = fiber_->scheduler().engine().buffers();
    return memory_ == nullptr ? pool.lend_filled(buffer_) : pool.lend_private(memory_, size);
  }
  if (reason_ == cancel_reason::interrupted) {  // nothing was read; see operation_wait::failure()
    if (answer_ < 0 && answer_ != -ECANCELED) on().keep_error(answer_);
    rethrow_interruption();
  }
  if (answer_ == 0) return buffer();
  if (answer_ != -ECANCELED) return system_error_code(answer_);
  return cancellation_error();
}

buffer receive_wait::await_resume() {
  return detail::value_or_throw(take(), type.name, unreadable);
}

// readable

bool readable_wait::try_now() noexcept {
  if (!may_claim()) return true;
  claim(*this);
  return on().has_arrived();
}

void readable_wait::on_arrival() noexcept {
  descriptor& from = on();
  if (from.fd() < 0) {
    remember(cancel_reason::closed);
  } else if (!from.has_arrived() && !(from.found_no_buffer() && from.has_something_to_receive())) {
    return from.await_arrival();  // the request ended without data
  }
  conclude_external();
}

void readable_wait::on_cancel(cancel_reason reason) noexcept {
  remember(reason);
  unwatch();
  conclude_external();
}

result<bool> readable_wait::take() {
  if (refusal() != errc{}) return make_error_code(refusal());
  const std::error_code error = cancellation_error();
  if (error == errc::timed_out) return false;
  if (error) return error;
  return true;
}

bool readable_wait::await_resume() { return detail::value_or_throw(take(), type.name); }

// Reads into the caller's memory

bool read_wait::begin_read(const wait_type& type, frame_record& at) noexcept {
  if (!may_claim()) [[unlikely]] {
    answer = -EBADF;
    return begin_nothing(at);
  }
  if (!enter(at)) return continue_or_yield(at);
  claim(*this);
  if (take_arrived()) return continue_or_yield(at);
  fd = on().fd();
  suspend_external(type, at);
  wait_on();
  return true;
}

bool read_wait::wait_on() noexcept {
  if (on().is_receiving()) {
    on().await_arrival();
    return true;
  }
  poll_first = on().is_drained();
  return restart();
}

void read_wait::on_arrival() noexcept {
  if (take_arrived()) return finish_transfer();
  if (wait_on()) return;
  answer = -ECANCELED;
  finish_transfer();
}

void read_wait::on_cancel(cancel_reason reason) noexcept {
  if (!on().is_awaited_by(*this)) return operation_wait::on_cancel(reason);
  remember(reason);
  on().cancel_receiving();
}

// read_some

read_some_wait::read_some_wait(descriptor& on, opcode kind, std::span<std::byte> memory,
                               time_limit timeout) noexcept
    : read_wait(on, kind, &read_some_wait::on_completion, timeout) {
  RINGLET_ASSERT(!memory.empty(), "read_some() needs room for at least one byte");
  data = memory.data();
  length = request_size(memory.size());
}

bool read_some_wait::take_arrived() noexcept {
  const std::size_t copied = on().copy_arrived({static_cast<std::byte*>(data), length});
  if (copied == 0) return on().take_end(answer);
  answer = static_cast<std::int32_t>(copied);
  return true;
}

void read_some_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<read_some_wait&>(op);
  if (self.try_again(done)) return;
  self.on().set_last_seen(done.nonempty);
  self.finish_transfer();
}

result<std::size_t> read_some_wait::take() {
  const claim_end last(*this);
  if (!has_claim()) rethrow_interruption();
  if (answer < 0) return transfer_failure();
  if (answer == 0 && reason_ == cancel_reason::interrupted) rethrow_interruption();
  on().count(direction::read) += static_cast<std::size_t>(answer);
  return static_cast<std::size_t>(answer);
}

std::size_t read_some_wait::await_resume() {
  return detail::value_or_throw(take(), type.name, unreadable);
}

// read_exact

read_exact_wait::read_exact_wait(descriptor& on, opcode kind, std::span<std::byte> memory,
                                 time_limit timeout) noexcept
    : read_wait(on, kind, &read_exact_wait::on_completion, timeout), memory_(memory) {
  aim();
}

void read_exact_wait::aim() noexcept {
  data = memory_.data() + done_;
  length = request_size(memory_.size() - done_);
}

void read_exact_wait::add(std::size_t bytes) noexcept {
  done_ += bytes;
  on().count(direction::read) += bytes;
  aim();
}

bool read_exact_wait::take_arrived() noexcept {
  add(on().copy_arrived(memory_.subspan(done_)));
  return done_ == memory_.size() || on().take_end(answer);
}

void read_exact_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<read_exact_wait&>(op);
  if (self.try_again(done)) return;
  if (done.result > 0) {
    self.add(static_cast<std::size_t>(done.result));
    if (self.done_ < self.memory_.size()) {
      self.on().note_progress(direction::read);
      if (self.restart()) return;
      self.answer = -ECANCELED;
    }
  }
  self.finish_transfer();
}

result<void> read_exact_wait::take() {
  const claim_end last(*this);
  if (done_ == memory_.size() && has_claim()) return {};
  // The bytes read so far are lost with the caller, so the next read would begin in the middle of a
  // message.
  const bool is_interrupted = reason_ == cancel_reason::interrupted;
  if ((answer == -ECANCELED || is_interrupted) && done_ != 0) {
    on().set_partial(direction::read);
  }
  if (!has_claim()) rethrow_interruption();
  if (memory_.empty()) return {};
  if (answer == 0 && is_interrupted) rethrow_interruption();
  if (answer == 0) return make_error_code(errc::end_of_stream);
  return transfer_failure();
}

void read_exact_wait::await_resume() { detail::value_or_throw(take(), type.name, unreadable); }

// write_all

// Inline and defined before their callers, because every message of a server goes through them.
inline void write_all_wait::aim() noexcept { length = request_size(left_); }

inline void write_all_wait::advance(std::size_t sent) noexcept {
  data = static_cast<std::byte*>(data) + sent;
}

template <class Wait>
bool write_wait::begin_write(Wait& self, frame_record& at) noexcept {
  write_wait& base = self;
  if (base.left_ == 0) return base.begin_nothing(at);
  self.aim();
  if (!base.may_claim()) [[unlikely]] {
    base.answer = -EBADF;
    return base.begin_nothing(at);
  }
  base.fd = base.on().fd();
  if (!at.chain->interrupted()) base.claim(*at.chain);
  return base.begin_operation(Wait::type, at);
}

template <class Wait>
void write_wait::on_sent(operation& op, const completion& done) noexcept {
  auto& self = static_cast<Wait&>(op);
  write_wait& base = self;
  if (base.try_again(done)) return;
  if (done.result > 0) {
    const auto sent = static_cast<std::size_t>(done.result);
    base.note_begun();
    base.left_ -= sent;
    base.on().count(direction::write) += sent;
    if (base.left_ != 0) {
      self.advance(sent);
      self.aim();
      base.on().note_progress(direction::write);
      if (base.restart()) return;
      base.answer = -ECANCELED;
    }
  }
  base.finish_transfer();
}

result<void> write_wait::take() {
  const claim_end last(*this);
  if (!has_claim()) rethrow_interruption();
  if (left_ == 0) return {};
  if (answer == 0) answer = -EPIPE;  // the descriptor accepts no bytes
  const bool is_interrupted = reason_ == cancel_reason::interrupted;
  if ((answer == -ECANCELED || is_interrupted) && is_begun()) on().set_partial(direction::write);
  return transfer_failure();
}

void write_wait::await_resume() { detail::value_or_throw(take(), "write_all", unwritable); }

write_all_wait::write_all_wait(descriptor& on, opcode kind, std::span<const std::byte> bytes,
                               time_limit timeout) noexcept
    : write_wait(on, kind, &write_wait::on_sent<write_all_wait>, bytes.size(), timeout) {
  data = const_cast<std::byte*>(bytes.data());
  // With this flag the kernel continues after a short send.
  if (kind == opcode::send) transfer.flags = MSG_WAITALL;
}

bool write_all_wait::begin(frame_record& at) noexcept { return begin_write(*this, at); }

// write_all of several spans

gather_wait::gather_wait(descriptor& on, opcode kind,
                         std::span<const std::span<const std::byte>> parts, time_limit timeout)
    : write_wait(on, kind, &write_wait::on_sent<gather_wait>, 0, timeout) {
  if (kind == opcode::send_message) transfer.flags = MSG_WAITALL;
  parts_.reserve(parts.size());
  for (const auto part : parts) {
    if (part.empty()) continue;
    parts_.push_back({const_cast<std::byte*>(part.data()), part.size()});
    left_ += part.size();
  }
}

bool gather_wait::begin(frame_record& at) noexcept { return begin_write(*this, at); }

// Chooses the parts of the next request, and shortens the last one to fit request_max.
void gather_wait::aim() noexcept {
  if (code != opcode::send_message) {
    data = parts_[first_].iov_base;
    length = request_size(parts_[first_].iov_len);
    return;
  }
  const std::size_t parts_max = std::min<std::size_t>(parts_.size() - first_, IOV_MAX);
  std::size_t room = request_max;
  std::size_t count = 0;
  while (count < parts_max && room != 0) {
    iovec& part = parts_[first_ + count++];
    if (part.iov_len > room) cut_off_ = std::exchange(part.iov_len, room) - room;
    room -= part.iov_len;
  }
  message_.msg_iov = parts_.data() + first_;
  message_.msg_iovlen = count;
  data = &message_;
}

void gather_wait::advance(std::size_t sent) noexcept {
  if (message_.msg_iovlen != 0) {
    message_.msg_iov[message_.msg_iovlen - 1].iov_len += std::exchange(cut_off_, 0);
  }
  while (sent != 0) {
    iovec& part = parts_[first_];
    const std::size_t taken = std::min(sent, part.iov_len);
    part.iov_base = static_cast<std::byte*>(part.iov_base) + taken;
    part.iov_len -= taken;
    sent -= taken;
    if (part.iov_len == 0) ++first_;
  }
}

}  // namespace ringlet
