// Collecting small pieces, and what is left of them when a call fails.
// SPDX-License-Identifier: MIT
#include <ringlet/error.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/writer.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace ringlet {
using namespace extend;

namespace {

std::size_t size_of(std::span<const std::span<const std::byte>> parts) noexcept {
  std::size_t size = 0;
  for (const auto part : parts) size += part.size();
  return size;
}

void report_lost(std::size_t count) noexcept {
  std::exception_ptr lost;
  try {
    lost = std::make_exception_ptr(
        std::logic_error(fmt::format("a writer was destroyed with {} bytes that were not flushed: "
                                     "call flush(), or discard() to drop them",
                                     count)));
  } catch (...) {
    lost = std::current_exception();
  }
  const scheduler* const here = detail::scheduler_here;
  const fiber_base* const owner = here == nullptr ? nullptr : here->running();
  if (owner != nullptr) return detail::report_failure_of(*owner, lost);
  detail::report_unhandled({0, "writer", lost});
}

}  // namespace

/// One call in progress.
class writer::call {
 public:
  explicit call(writer& on) : on_(on) {
    RINGLET_ASSERT(!on.waiting_, "a call on a writer was begun while another one waited");
    on.check_usable();
    on.waiting_ = true;
  }
  call(const call&) = delete;
  call& operator=(const call&) = delete;
  ~call() { on_.waiting_ = false; }

 private:
  writer& on_;
};

writer::writer(void* sink, write_function how, std::size_t capacity)
    : sink_(sink), write_(how), capacity_(capacity) {
  RINGLET_ASSERT(capacity != 0, "the capacity of a writer is at least 1 byte");
}

writer::~writer() {
  RINGLET_ASSERT(!waiting_, "a writer was destroyed while one of its calls waited");
  if (collected_.empty() || told_ || std::uncaught_exceptions() > unwinding_) return;
  report_lost(collected_.size());
}

void writer::check_usable() const {
  if (error_) throw_error(error_, "write");
}

void writer::discard() noexcept {
  RINGLET_ASSERT(!waiting_, "a call on a writer was begun while another one waited");
  std::vector<std::byte>().swap(collected_);
}

borrowing_task<void> writer::write(std::span<const std::byte> bytes, time_limit timeout) {
  return write_one(bytes, timeout);
}

borrowing_task<void> writer::write(std::span<const std::span<const std::byte>> parts,
                                   time_limit timeout) {
  return write_several(parts, timeout);
}

task<> writer::write_one(std::span<const std::byte> bytes, time_limit timeout) {
  const call now(*this);
  const std::array parts{bytes};
  if (!collect(parts)) co_await send(parts, timeout);
}

task<> writer::write_several(pieces parts, time_limit timeout) {
  const call now(*this);
  if (!collect(parts)) co_await send(parts, timeout);
}

task<> writer::flush(time_limit timeout) {
  const call now(*this);
  corked_ = false;
  if (!collected_.empty()) co_await send({}, timeout);
}

// False if the bytes must be sent.
bool writer::collect(pieces parts) {
  const std::size_t size = size_of(parts);
  if (size == 0) return true;
  if (!corked_ || size > capacity_ - collected_.size()) return false;
  const std::size_t needed = collected_.size() + size;
  if (needed > collected_.capacity()) {
    collected_.reserve(std::max(needed, std::min(2 * collected_.capacity(), capacity_)));
  }
  for (const auto part : parts) collected_.insert(collected_.end(), part.begin(), part.end());
  told_ = false;
  return true;
}

task<> writer::send(pieces parts, time_limit timeout) {
  try {
    if (collected_.empty()) {
      co_await write_(sink_, parts, timeout);
    } else {
      co_await send_collected_and(parts, timeout);
    }
  } catch (const std::system_error& error) {
    told_ = true;
    if (error.code() != errc::timed_out) error_ = error.code();
    throw;
  } catch (...) {
    told_ = true;
    throw;
  }
}

task<> writer::send_collected_and(pieces parts, time_limit timeout) {
  std::vector<std::span<const std::byte>> all;
  all.reserve(1 + parts.size());
  all.emplace_back(collected_);
  all.insert(all.end(), parts.begin(), parts.end());
  co_await write_(sink_, all, timeout);
  std::vector<std::byte>().swap(collected_);
}

}  // namespace ringlet
