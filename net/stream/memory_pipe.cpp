// The bytes between the two ends of a pair, and how one end learns what the other one does.
// SPDX-License-Identifier: MIT
#include <ringlet/error.hpp>
#include <ringlet/extend/memory_waits.hpp>

#include <algorithm>
#include <cstring>

namespace ringlet::extend {

memory_pipe::memory_pipe(scheduler& owner, std::size_t capacity)
    : scheduler_(owner), bytes_(new std::byte[capacity]), capacity_(capacity) {}

std::error_code memory_pipe::refusal(pipe_side of) const noexcept {
  if (at(of).is_partial) return errc::partial_transfer;
  if (at(of).state >= life::closed) return errc::closed;
  return {};
}

void memory_pipe::enter(pipe_side of, waiter& call) noexcept {
  scheduler_.check_thread("a memory stream was used on a thread that is not its scheduler's");
  RINGLET_ASSERT(of != pipe_side::reader || at(of).call == nullptr,
                 "a second read was begun while one was in flight on the same stream");
  RINGLET_ASSERT(of != pipe_side::writer || at(of).call == nullptr,
                 "a second write was begun while one was in flight on the same stream");
  at(of).call = &call;
}

void memory_pipe::leave(pipe_side of) noexcept { at(of).call = nullptr; }

std::size_t memory_pipe::take(std::span<std::byte> memory) noexcept {
  const std::size_t taken = std::min(memory.size(), size_);
  if (taken == 0) return 0;
  const std::size_t before_end = std::min(taken, capacity_ - first_);
  std::memcpy(memory.data(), bytes_.get() + first_, before_end);
  std::memcpy(memory.data() + before_end, bytes_.get(), taken - before_end);
  first_ = (first_ + taken) % capacity_;
  size_ -= taken;
  at(pipe_side::reader).count += taken;
  notify(pipe_side::writer);
  return taken;
}

std::size_t memory_pipe::put(std::span<const std::byte> bytes) noexcept {
  const std::size_t added = std::min(bytes.size(), capacity_ - size_);
  if (added == 0) return 0;
  const std::size_t begin = (first_ + size_) % capacity_;
  const std::size_t before_end = std::min(added, capacity_ - begin);
  std::memcpy(bytes_.get() + begin, bytes.data(), before_end);
  std::memcpy(bytes_.get(), bytes.data() + before_end, added - before_end);
  size_ += added;
  at(pipe_side::writer).count += added;
  notify(pipe_side::reader);
  return added;
}

std::error_code memory_pipe::read_error() const noexcept {
  if (at(pipe_side::writer).state != life::aborted) return {};
  return std::make_error_code(std::errc::connection_reset);
}

std::error_code memory_pipe::write_error() const noexcept {
  const bool is_over =
      at(pipe_side::writer).state != life::open || at(pipe_side::reader).state != life::open;
  return is_over ? std::make_error_code(std::errc::broken_pipe) : std::error_code();
}

void memory_pipe::end(pipe_side of, life how) noexcept {
  if (at(of).state >= how) return;
  const bool is_closed_now = how >= life::closed && at(of).state < life::closed;
  at(of).state = how;
  if (is_closed_now && at(of).call != nullptr) at(of).call->on_close();
  notify(of == pipe_side::reader ? pipe_side::writer : pipe_side::reader);
}

}  // namespace ringlet::extend
