// The worker loop, when to start another thread, and what fork() does to the pool.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/blocking_pool.hpp>
#include <ringlet/detail/signals_blocked.hpp>

#include <pthread.h>

#include <atomic>
#include <memory>
#include <new>
#include <system_error>

namespace ringlet::detail {
using namespace extend;
namespace {

// Not destroyed: see the header. Null until the first job, and again in a child of fork().
constinit std::atomic<blocking_pool*> pool_of_process = nullptr;
// Keeps the pool that a child inherited reachable for the leak check.
constinit std::atomic<blocking_pool*> pool_of_parent = nullptr;

// A thread that the child does not have may hold the pool's mutex.
void leave_pool_behind() noexcept {
  if (blocking_pool* const inherited = pool_of_process.exchange(nullptr)) {
    pool_of_parent = inherited;
  }
}

}  // namespace

blocking_pool& blocking_pool::instance() {
  if (blocking_pool* const made = pool_of_process.load(std::memory_order_acquire)) return *made;
  static const int registered = ::pthread_atfork(nullptr, nullptr, &leave_pool_behind);
  if (registered != 0) throw std::bad_alloc();
  auto made = std::make_unique<blocking_pool>();
  made->parents_ = pool_of_parent;
  blocking_pool* first = nullptr;
  if (!pool_of_process.compare_exchange_strong(first, made.get())) return *first;
  return *made.release();
}

void blocking_pool::submit(blocking_job& job) {
  const std::lock_guard lock(mutex_);
  if (queued_ >= idle_ && threads_.size() < threads_max) {
    const signals_blocked blocked;
    threads_.reserve(threads_max);
    try {
      threads_.emplace_back([this] { serve(); });
    } catch (const std::system_error&) {
      if (threads_.empty()) throw;  // otherwise the existing threads take the job
    }
  }
  waiting_.push_back(job);
  ++queued_;
  work_or_end_.notify_one();
}

bool blocking_pool::withdraw(blocking_job& job) noexcept {
  const std::lock_guard lock(mutex_);
  if (!job.linked()) return false;
  job.unlink();
  --queued_;
  return true;
}

void blocking_pool::serve() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    work_or_end_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    --idle_;
    if (waiting_.empty()) return;
    blocking_job& job = waiting_.pop_front();
    --queued_;
    lock.unlock();
    engine* const owner = job.owner;
    job.work(job);
    if (owner != nullptr) owner->post(job);  // do not touch the job after this
    lock.lock();
  }
}

blocking_pool::~blocking_pool() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  work_or_end_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace ringlet::detail
