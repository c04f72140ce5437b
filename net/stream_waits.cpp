// How bytes are waited for: short reads and writes, buffers that have run out, and what a
// cancellation leaves behind.
#include <ringlet/stream_waits.hpp>

#include <limits.h>

#include <algorithm>
#include <cerrno>
#include <new>

namespace ringlet {
namespace {

// The most that one request sends or reads. A request that is woken more than 128 times before it
// is complete is moved to a worker thread by the kernel; a wake-up of a sender frees about a third
// of the socket's buffer, so this much is far from that.
constexpr std::size_t request_max = 256 * 1024;

std::uint32_t request_size(std::size_t left) noexcept {
  return static_cast<std::uint32_t>(std::min(left, request_max));
}

}  // namespace

const wait_type receive_wait::type{"receive", &operation_wait::cancel,
                                   &operation_wait::describe_fd};
const wait_type read_some_wait::type{"read_some", &operation_wait::cancel,
                                     &operation_wait::describe_fd};
const wait_type read_exact_wait::type{"read_exact", &operation_wait::cancel,
                                      &operation_wait::describe_fd};
const wait_type write_all_wait::type{"write_all", &operation_wait::cancel,
                                     &operation_wait::describe_fd};
const wait_type gather_wait::type{"write_all", &operation_wait::cancel,
                                  &operation_wait::describe_fd};

// receive

bool receive_wait::begin(frame_record& at) noexcept {
  // A socket that was emptied last time is not tried first: that would be in vain, mostly. Nor when
  // all buffers are out: then the kernel would give up before it looked whether there is data.
  poll_first = on_->drained;
  return io_wait::begin(type, at);
}

void receive_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<receive_wait&>(op);
  if (done.buffer != completion::no_buffer) {
    if (done.result <= 0) {
      self.carrier().give_back(done.buffer);
    } else {
      self.lent_ = done.buffer;
    }
  }
  if (self.try_again(done)) return;
  if (done.result == -ENOBUFS && self.receive_privately()) return;
  self.on_->drained = !done.nonempty;
  self.finish();
}

// All buffers are on lease. If there is data it goes to memory of its own; if not, the request
// waits for data without a buffer, and this is done again when there is some. True when it waits.
bool receive_wait::receive_privately() noexcept {
  buffer_pool& pool = carrier().buffers();
  try {
    data = pool.allocate_private();
  } catch (const std::bad_alloc&) {
    answer = -ENOMEM;
    return false;
  }
  operation now(opcode::receive_now, nullptr);
  now.fd = fd;
  now.data = data;
  now.length = pool.size();
  answer = carrier().call(now);
  if (answer > 0) {
    lent_ = buffer_pool::private_id;
    return false;
  }
  pool.free_private(static_cast<std::byte*>(std::exchange(data, nullptr)));
  if (answer != -EAGAIN) return false;
  poll_first = true;
  if (restart()) return true;
  answer = -ECANCELED;
  return false;
}

result<buffer> receive_wait::take() {
  const leaving last(*this);
  rethrow_interruption_before_start();
  if (answer < 0) return failure();
  if (answer == 0) return buffer();
  buffer_pool& pool = carrier().buffers();
  const auto filled = static_cast<std::uint32_t>(answer);
  on_->count(direction::read) += filled;
  if (data != nullptr) return pool.lend_private(static_cast<std::byte*>(data), filled);
  return pool.lend(lent_, filled);
}

buffer receive_wait::await_resume() {
  auto taken = take();
  if (!taken) throw_error(taken.error(), type.name);
  return std::move(*taken);
}

// read_some

read_some_wait::read_some_wait(descriptor& on, opcode kind, std::span<std::byte> memory,
                               until limit) noexcept
    : io_wait(on, direction::read, kind, &read_some_wait::on_completion, limit) {
  RINGLET_ASSERT(!memory.empty(), "read_some() needs room for at least one byte");
  data = memory.data();
  length = request_size(memory.size());
}

bool read_some_wait::begin(frame_record& at) noexcept {
  poll_first = on_->drained;
  return io_wait::begin(type, at);
}

void read_some_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<read_some_wait&>(op);
  if (self.try_again(done)) return;
  self.on_->drained = !done.nonempty;
  self.finish();
}

result<std::size_t> read_some_wait::take() {
  const leaving last(*this);
  rethrow_interruption_before_start();
  if (answer < 0) return failure();
  on_->count(direction::read) += static_cast<std::size_t>(answer);
  return static_cast<std::size_t>(answer);
}

std::size_t read_some_wait::await_resume() {
  const auto taken = take();
  if (!taken) throw_error(taken.error(), type.name);
  return *taken;
}

// read_exact

read_exact_wait::read_exact_wait(descriptor& on, opcode kind, std::span<std::byte> memory,
                                 until limit) noexcept
    : io_wait(on, direction::read, kind, &read_exact_wait::on_completion, limit), memory_(memory) {}

void read_exact_wait::aim() noexcept {
  data = memory_.data() + done_;
  length = request_size(memory_.size() - done_);
}

bool read_exact_wait::begin(frame_record& at) noexcept {
  if (memory_.empty()) return begin_nothing(at);
  aim();
  return io_wait::begin(type, at);
}

void read_exact_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<read_exact_wait&>(op);
  if (self.try_again(done)) return;
  if (done.result > 0) {
    self.done_ += static_cast<std::size_t>(done.result);
    self.on_->count(direction::read) += static_cast<std::size_t>(done.result);
    if (self.done_ < self.memory_.size()) {
      self.aim();
      if (self.restart()) return;
      self.answer = -ECANCELED;
    }
  }
  self.finish();
}

result<void> read_exact_wait::take() {
  const leaving last(*this);
  rethrow_interruption_before_start();
  if (done_ == memory_.size()) return {};
  if (answer == 0) return make_error_code(errc::end_of_stream);
  // Some of the bytes are taken, and go down with the caller: whoever reads next would read from
  // the middle of something.
  if (answer == -ECANCELED && done_ != 0) on_->set_cut_short(direction::read);
  return failure();
}

void read_exact_wait::await_resume() {
  const auto taken = take();
  if (!taken) throw_error(taken.error(), type.name);
}

// write_all

write_all_wait::write_all_wait(descriptor& on, opcode kind, std::span<const std::byte> bytes,
                               until limit) noexcept
    : io_wait(on, direction::write, kind, &write_all_wait::on_completion, limit), bytes_(bytes) {
  flags = MSG_WAITALL;  // the kernel goes on after a short send
}

void write_all_wait::aim() noexcept {
  data = const_cast<std::byte*>(bytes_.data()) + done_;
  length = request_size(bytes_.size() - done_);
}

bool write_all_wait::begin(frame_record& at) noexcept {
  if (bytes_.empty()) return begin_nothing(at);
  aim();
  return io_wait::begin(type, at);
}

void write_all_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<write_all_wait&>(op);
  if (self.try_again(done)) return;
  if (done.result > 0) {
    self.done_ += static_cast<std::size_t>(done.result);
    self.on_->count(direction::write) += static_cast<std::size_t>(done.result);
    if (self.done_ < self.bytes_.size()) {
      self.aim();
      if (self.restart()) return;
      self.answer = -ECANCELED;
    }
  }
  self.finish();
}

result<void> write_all_wait::take() {
  const leaving last(*this);
  rethrow_interruption_before_start();
  if (done_ == bytes_.size()) return {};
  if (answer == 0) answer = -EPIPE;  // a descriptor that takes nothing
  if (answer == -ECANCELED && done_ != 0) on_->set_cut_short(direction::write);
  return failure();
}

void write_all_wait::await_resume() {
  const auto taken = take();
  if (!taken) throw_error(taken.error(), type.name);
}

// write_all of several spans

gather_wait::gather_wait(descriptor& on, std::span<const std::span<const std::byte>> parts,
                         until limit)
    : io_wait(on, direction::write, opcode::send_message, &gather_wait::on_completion, limit) {
  flags = MSG_WAITALL;
  parts_.reserve(parts.size());
  for (const auto part : parts) {
    if (part.empty()) continue;
    parts_.push_back({const_cast<std::byte*>(part.data()), part.size()});
    left_ += part.size();
  }
}

void gather_wait::aim() noexcept {
  message_.msg_iov = parts_.data() + first_;
  message_.msg_iovlen = std::min<std::size_t>(parts_.size() - first_, IOV_MAX);
  data = &message_;
}

void gather_wait::advance(std::size_t sent) noexcept {
  left_ -= sent;
  begun_ = true;
  while (sent != 0) {
    iovec& part = parts_[first_];
    const std::size_t taken = std::min(sent, part.iov_len);
    part.iov_base = static_cast<std::byte*>(part.iov_base) + taken;
    part.iov_len -= taken;
    sent -= taken;
    if (part.iov_len == 0) ++first_;
  }
}

bool gather_wait::begin(frame_record& at) noexcept {
  if (left_ == 0) return begin_nothing(at);
  aim();
  return io_wait::begin(type, at);
}

void gather_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<gather_wait&>(op);
  if (self.try_again(done)) return;
  if (done.result > 0) {
    self.advance(static_cast<std::size_t>(done.result));
    self.on_->count(direction::write) += static_cast<std::size_t>(done.result);
    if (self.left_ != 0) {
      self.aim();
      if (self.restart()) return;
      self.answer = -ECANCELED;
    }
  }
  self.finish();
}

result<void> gather_wait::take() {
  const leaving last(*this);
  rethrow_interruption_before_start();
  if (left_ == 0) return {};
  if (answer == 0) answer = -EPIPE;  // a descriptor that takes nothing
  if (answer == -ECANCELED && begun_) on_->set_cut_short(direction::write);
  return failure();
}

void gather_wait::await_resume() {
  const auto taken = take();
  if (!taken) throw_error(taken.error(), type.name);
}

}  // namespace ringlet
