// The calls of memory_stream.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/memory_stream.hpp>

#include <algorithm>
#include <new>
#include <utility>

namespace ringlet {
using namespace extend;

const wait_type memory_receive_wait::type = make_type<memory_receive_wait>("receive");
const wait_type memory_read_some_wait::type = make_type<memory_read_some_wait>("read_some");
const wait_type memory_read_exact_wait::type = make_type<memory_read_exact_wait>("read_exact");
const wait_type memory_write_wait::type = make_type<memory_write_wait>("write_all");
const wait_type memory_readable_wait::type = make_type<memory_readable_wait>("readable");

// All calls that move bytes

memory_wait::~memory_wait() { on_.release(); }

bool memory_wait::begin(const wait_type& type, frame_record& at) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  error_ = on_.refusal(side_);
  if (error_) return continue_or_yield(at);
  on_.enter(side_, *this);
  has_claim_ = true;
  is_complete_ = attempt();
  if (is_complete_) return continue_or_yield(at);
  suspend(type, at);
  is_waiting_ = true;
  return true;
}

void memory_wait::on_change() noexcept {
  // While this call moves bytes, the other side may react: attempt() then sees what has changed.
  if (!std::exchange(is_waiting_, false)) return;
  is_complete_ = attempt();
  if (is_complete_) return wake();
  is_waiting_ = true;
}

void memory_wait::on_cancel(cancel_reason reason) noexcept {
  is_waiting_ = false;
  remember(reason);
  wake();
}

std::error_code memory_wait::finish(bool cut) {
  if (std::exchange(has_claim_, false)) {
    on_.leave(side_);
  } else {
    rethrow_interruption();
    return error_;
  }
  if (is_complete_) return error_;
  if (cut) on_.set_partial(side_);
  return cancellation_error();
}

// receive

bool memory_receive_wait::attempt() noexcept {
  if (!on_.is_readable()) return false;
  if (on_.size() == 0) {
    error_ = on_.read_error();
    return true;
  }
  buffer_pool& pool = on_.buffers();
  std::byte* memory = nullptr;
  try {
    memory = pool.allocate_private();
  } catch (const std::bad_alloc&) {
    error_ = std::make_error_code(std::errc::not_enough_memory);
    return true;
  }
  const auto size = static_cast<std::uint32_t>(std::min<std::size_t>(on_.size(), pool.size()));
  got_ = pool.lend_private(memory, size);
  on_.take({memory, size});
  return true;
}

result<buffer> memory_receive_wait::take() {
  if (const std::error_code error = finish(false)) return error;
  return std::move(got_);
}

buffer memory_receive_wait::await_resume() { return detail::value_or_throw(take(), type.name); }

// read_some

memory_read_some_wait::memory_read_some_wait(memory_pipe& from, std::span<std::byte> memory,
                                             const time_limit& timeout) noexcept
    : memory_wait(from, pipe_side::reader, timeout), memory_(memory) {
  RINGLET_ASSERT(!memory.empty(), "read_some() needs room for at least one byte");
}

bool memory_read_some_wait::attempt() noexcept {
  if (!on_.is_readable()) return false;
  got_ = on_.take(memory_);
  if (got_ == 0) error_ = on_.read_error();
  return true;
}

result<std::size_t> memory_read_some_wait::take() {
  if (const std::error_code error = finish(false)) return error;
  return got_;
}

std::size_t memory_read_some_wait::await_resume() {
  return detail::value_or_throw(take(), type.name);
}

// read_exact

bool memory_read_exact_wait::attempt() noexcept {
  while (got_ < memory_.size() && on_.size() != 0) got_ += on_.take(memory_.subspan(got_));
  if (got_ == memory_.size()) return true;
  if (!on_.is_readable()) return false;
  error_ = on_.read_error();
  if (!error_) error_ = errc::end_of_stream;
  return true;
}

result<void> memory_read_exact_wait::take() {
  if (const std::error_code error = finish(got_ != 0)) return error;
  return {};
}

void memory_read_exact_wait::await_resume() { detail::value_or_throw(take(), type.name); }

// write_all

// Makes the next part that is not empty the current one.
bool memory_write_wait::has_more() noexcept {
  while (current_.empty() && !parts_.empty()) {
    current_ = parts_.front();
    parts_ = parts_.subspan(1);
  }
  return !current_.empty();
}

bool memory_write_wait::attempt() noexcept {
  while (has_more()) {
    error_ = on_.write_error();
    if (error_) return true;
    const std::size_t written = on_.put(current_);
    if (written == 0) return false;
    is_begun_ = true;
    current_ = current_.subspan(written);
  }
  return true;
}

result<void> memory_write_wait::take() {
  if (const std::error_code error = finish(is_begun_)) return error;
  return {};
}

void memory_write_wait::await_resume() { detail::value_or_throw(take(), type.name); }

// readable

memory_readable_wait::~memory_readable_wait() {
  if (has_claim_) on_.leave(pipe_side::reader);
  on_.release();
}

bool memory_readable_wait::try_now() noexcept {
  refusal_ = on_.refusal(pipe_side::reader);
  if (refusal_) return true;
  on_.enter(pipe_side::reader, *this);
  has_claim_ = true;
  return on_.is_readable();
}

void memory_readable_wait::on_change() noexcept {
  if (!is_watching_ || !on_.is_readable()) return;
  is_watching_ = false;
  conclude();
}

void memory_readable_wait::on_cancel(cancel_reason reason) noexcept {
  remember(reason);
  is_watching_ = false;
  conclude();
}

result<bool> memory_readable_wait::take() {
  rethrow_interruption();
  if (refusal_) return refusal_;
  const std::error_code error = cancellation_error();
  if (error == errc::timed_out) return false;
  if (error) return error;
  return true;
}

bool memory_readable_wait::await_resume() { return detail::value_or_throw(take(), type.name); }

// The stream

bool memory_close_wait::begin(frame_record& at) noexcept {
  if (enter(at)) closed_->close_now();
  return continue_or_yield(at);
}

std::pair<memory_stream, memory_stream> memory_stream::pair(std::size_t capacity) {
  RINGLET_ASSERT(capacity != 0, "a memory stream holds at least 1 byte");
  scheduler& owner = current_scheduler();
  auto* const there = new memory_pipe(owner, capacity);
  memory_pipe* back = nullptr;
  there->retain();
  try {
    back = new memory_pipe(owner, capacity);
  } catch (const std::bad_alloc&) {
    there->release();
    throw;
  }
  there->retain();
  back->retain();
  back->retain();
  return {memory_stream(*back, *there), memory_stream(*there, *back)};
}

memory_stream::memory_stream(memory_stream&& other) noexcept
    : in_(std::exchange(other.in_, nullptr)), out_(std::exchange(other.out_, nullptr)) {}

memory_stream& memory_stream::operator=(memory_stream&& other) noexcept {
  if (this != &other) {
    drop();
    in_ = std::exchange(other.in_, nullptr);
    out_ = std::exchange(other.out_, nullptr);
  }
  return *this;
}

memory_stream::~memory_stream() { drop(); }

void memory_stream::drop() noexcept {
  if (in_ == nullptr) return;
  close_now();
  std::exchange(in_, nullptr)->release();
  std::exchange(out_, nullptr)->release();
}

void memory_stream::shutdown_write() {
  if (outgoing().life_of(pipe_side::writer) >= memory_pipe::life::closed) {
    throw_error(errc::closed, "shutdown_write");
  }
  outgoing().end(pipe_side::writer, memory_pipe::life::ended);
}

// With bytes unread, the peer cannot know what arrived: it is told of a reset.
void memory_stream::close_now() noexcept {
  const bool has_unread = incoming().size() != 0;
  incoming().end(pipe_side::reader, memory_pipe::life::closed);
  outgoing().end(pipe_side::writer,
                 has_unread ? memory_pipe::life::aborted : memory_pipe::life::closed);
}

void memory_stream::abort() noexcept {
  if (in_ == nullptr || outgoing().life_of(pipe_side::writer) >= memory_pipe::life::closed) return;
  outgoing().drop_bytes();
  incoming().end(pipe_side::reader, memory_pipe::life::closed);
  outgoing().end(pipe_side::writer, memory_pipe::life::aborted);
}

}  // namespace ringlet
