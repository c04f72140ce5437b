// Submits, waits and reaps; the header explains what shapes it.
// SPDX-License-Identifier: MIT
#include "uring_engine.hpp"

#include <ringlet/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "uring_entry.hpp"

namespace ringlet::extend {
using namespace detail;
namespace {

// How many operations reap() prefetches: no more than fit into the cache.
constexpr unsigned prefetched_max = 64;

unsigned load_acquire(const unsigned* shared) noexcept {
  return __atomic_load_n(shared, __ATOMIC_ACQUIRE);
}
void store_release(unsigned* shared, unsigned value) noexcept {
  __atomic_store_n(shared, value, __ATOMIC_RELEASE);
}
unsigned load_relaxed(const unsigned* shared) noexcept {
  return __atomic_load_n(shared, __ATOMIC_RELAXED);
}

}  // namespace

io_uring_sqe* uring_engine::next_entry() noexcept {
  if (ring_.sq.sqe_tail - load_acquire(ring_.sq.khead) >= *ring_.sq.kring_entries) [[unlikely]] {
    // The queue is full: a burst between two waits. The kernel consumes the entries during the
    // call, because no kernel thread polls the queue (no SQPOLL).
    enter(0, 0, never);
    if (unsubmitted() >= *ring_.sq.kring_entries) return nullptr;
  }
  return &ring_.sq.sqes[ring_.sq.sqe_tail++ & *ring_.sq.kring_mask];
}

inline bool uring_engine::submit_one(operation& op) noexcept {
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) return false;
  detail::row_of(op.code).fill(*entry, op, features_);
  // A write to a terminal with some room waits until the terminal has taken everything, and it
  // would wait on this thread. IOSQE_ASYNC lets a kernel worker thread make it.
  if (op.code == opcode::write && ::isatty(op.fd) != 0) entry->flags |= IOSQE_ASYNC;
  mark_in_kernel(op);
  return true;
}

bool uring_engine::submit_cancel(operation& op) noexcept {
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) return false;
  fill_cancel(*entry, op);
  cancels_.sent(op);
  return true;
}

bool uring_engine::arm_wakeup() noexcept {
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) return false;
  fill_wakeup(*entry, wakeup_fd());
  return true;
}

void uring_engine::start(operation& op) noexcept {
  detail::check_start(op.code);
  mark_queued(op);
  poison_target(op);
  // Operations are submitted in the order of their starts: none overtakes those waiting for room.
  if (!unstarted_.empty() || !submit_one(op)) unstarted_.push_back(op);
}

void uring_engine::cancel(operation& op) noexcept {
  if (!mark_cancelled(op)) return;
  // Not submitted yet: the next wait() completes it.
  if (op.current_state() == operation::state::queued) return;
  if (!submit_cancel(op)) cancels_.add_waiting(op);
}

void uring_engine::retry_waiting() noexcept {
  if (cancels_.due() != never) [[unlikely]]
    cancels_.ask_again(now());
  while (operation* const op = cancels_.first_waiting()) {
    if (!submit_cancel(*op)) break;
  }
  if (!wakeup_armed_) wakeup_armed_ = arm_wakeup();
  if (!unstarted_.empty()) [[unlikely]]
    start_unstarted();
}

void uring_engine::start_unstarted() noexcept {
  while (!unstarted_.empty()) {
    operation& op = unstarted_.front();
    if (is_cancelled(op) || !submit_one(op)) return;  // reap() completes cancelled ones
    op.unlink();
  }
}

unsigned uring_engine::unsubmitted() const noexcept {
  return ring_.sq.sqe_tail - load_acquire(ring_.sq.khead);
}

int uring_engine::enter(unsigned min_complete, unsigned flags, steady_ns timeout) noexcept {
  store_release(ring_.sq.ktail, ring_.sq.sqe_tail);
  ++statistics_.system_calls;
  if (timeout == never) {
    return io_uring_enter2(static_cast<unsigned>(ring_.enter_ring_fd), unsubmitted(), min_complete,
                           flags | enter_flags_, nullptr, 0);
  }
  __kernel_timespec limit{};
  limit.tv_sec = timeout / nanoseconds_per_second;
  limit.tv_nsec = timeout % nanoseconds_per_second;
  io_uring_getevents_arg argument{};
  argument.ts = reinterpret_cast<std::uint64_t>(&limit);
  return io_uring_enter2(static_cast<unsigned>(ring_.enter_ring_fd), unsubmitted(), min_complete,
                         flags | enter_flags_ | IORING_ENTER_EXT_ARG,
                         reinterpret_cast<sigset_t*>(&argument), sizeof argument);
}

bool uring_engine::has_failed(int entered) noexcept {
  if (entered >= 0) return false;
  switch (-entered) {
    case EINTR:   // a signal ended the sleep
    case ETIME:   // the limit passed
    case EAGAIN:  // no memory for requests right now: reap, and try again at the next wait
    case EBUSY:   // the completion queue overflowed (older kernels): reap, and try again
      return false;
    default:
      return true;  // EBADR says that completions were lost; nothing can be trusted after that
  }
}

void uring_engine::check(int entered) {
  if (has_failed(entered)) throw_error(system_error_code(entered), "io_uring_enter");
}

void uring_engine::sleep(steady_ns deadline) {
  if (!announce_sleep()) {
    check(enter(0, IORING_ENTER_GETEVENTS, never));
    return;
  }
  const steady_ns timeout = deadline == never ? never : std::min(deadline - now(), sleep_max);
  const int entered = timeout > 0 ? enter(1, IORING_ENTER_GETEVENTS, timeout)
                                  : enter(0, IORING_ENTER_GETEVENTS, never);
  announce_awake();
  check(entered);
  // After a real sleep the kernel ran just enough work for one completion.
  if (load_relaxed(ring_.sq.kflags) & IORING_SQ_TASKRUN) {
    check(enter(0, IORING_ENTER_GETEVENTS, never));
  }
}

std::size_t uring_engine::wait(steady_ns deadline, std::span<completion> out) {
  retry_waiting();
  std::size_t count = reap(out);
  // No sleep while anything waits for room: perhaps nothing would ever end that sleep.
  const bool all_handed_over = unstarted_.empty() && !cancels_.first_waiting() && wakeup_armed_;
  if (count == 0 && deadline > 0 && all_handed_over) {
    sleep(std::min(deadline, cancels_.due()));
  } else if (unsubmitted() != 0 ||
             (load_relaxed(ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
    check(enter(0, IORING_ENTER_GETEVENTS, never));
  }
  if (count < out.size()) count += reap(out.subspan(count));
  return count;
}

std::size_t uring_engine::reap(std::span<completion> out) noexcept {
  std::size_t count = 0;
  while (count < out.size() && !unstarted_.empty() && is_cancelled(unstarted_.front())) {
    operation& op = unstarted_.pop_front();
    unpoison_target(op);
    out[count++] = {&op, -ECANCELED, completion::no_buffer, false, false};
  }
  const bool overflowed = (load_relaxed(ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0;
  if (overflowed) ++statistics_.overflows;
  const unsigned mask = *ring_.cq.kring_mask;
  unsigned head = *ring_.cq.khead;
  const unsigned tail = load_acquire(ring_.cq.ktail);
  // The operations of thousands of connections do not fit into the cache: prefetch them while the
  // first ones are translated.
  for (unsigned i = head; i != tail && i != head + prefetched_max; ++i) {
    __builtin_prefetch(reinterpret_cast<void*>(ring_.cq.cqes[i & mask].user_data), 1);
  }
  while (count < out.size() && head != tail) {
    if (translate(ring_.cq.cqes[head & mask], out[count])) ++count;
    ++head;
  }
  // The entries were copied, so the kernel may reuse them before any coroutine runs.
  store_release(ring_.cq.khead, head);
  if (head == tail && !overflowed) cancels_.all_reaped();
  statistics_.completions += count;
  return count;
}

// Handles a completion of the wake-up poll or of a cancel request.
void uring_engine::note(const io_uring_cqe& entry) noexcept {
  const std::uint64_t what = entry.user_data & tag::mask;
  if (what == tag::wakeup) {
    ++statistics_.wakes;
    if ((entry.flags & IORING_CQE_F_MORE) == 0) wakeup_armed_ = false;
  } else if (what == tag::cancel) {
    const auto* const target = reinterpret_cast<const operation*>(entry.user_data - tag::cancel);
    if (entry.res == -ENOENT) cancels_.missed(target);
    if (entry.res == -EALREADY) cancels_.told_to_stop(target, now());
  }
}

inline bool uring_engine::translate(const io_uring_cqe& entry, completion& out) noexcept {
  if ((entry.user_data & tag::mask) != tag::operation) [[unlikely]] {
    note(entry);
    return false;
  }
  operation& op = *reinterpret_cast<operation*>(entry.user_data);
  out.request = &op;
  out.result = entry.res;
  out.more = (entry.flags & IORING_CQE_F_MORE) != 0;
  out.nonempty = (entry.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
  out.buffer = completion::no_buffer;
  if (entry.flags & IORING_CQE_F_BUFFER) {
    out.buffer = static_cast<std::int32_t>(entry.flags >> IORING_CQE_BUFFER_SHIFT);
    --buffers_free_;
  }
  if (entry.res == -ENOBUFS && detail::fills_lent_buffer(op.code)) ++statistics_.buffers_dry;
  if (out.more) return true;
  unpoison_target(op);
  // A kernel worker thread that our cancellation interrupted reports EINTR.
  if (entry.res == -EINTR && is_cancelled(op)) out.result = -ECANCELED;
  return true;
}

void uring_engine::recycle_buffer(std::int32_t id) noexcept {
  io_uring_buf_ring_add(buffer_ring_, pool_->at(id), pool_->size(), static_cast<unsigned short>(id),
                        io_uring_buf_ring_mask(pool_->count()), 0);
  io_uring_buf_ring_advance(buffer_ring_, 1);
  ++buffers_free_;
}

}  // namespace ringlet::extend
