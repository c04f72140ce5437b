// The worker loop, and when a further thread is started.
#include <ringlet/blocking_pool.hpp>

#include <signal.h>

#include <system_error>

namespace ringlet {
namespace {

// Signals are for the threads that the program knows: workers are born with all of them blocked.
class signals_blocked {
 public:
  signals_blocked() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

blocking_pool& blocking_pool::instance() {
  static blocking_pool pool;
  return pool;
}

void blocking_pool::submit(blocking_job& job) {
  const std::lock_guard lock(mutex_);
  if (queued_ >= idle_ && threads_.size() < threads_max) {
    const signals_blocked blocked;
    threads_.reserve(threads_max);
    try {
      threads_.emplace_back([this] { serve(); });
    } catch (const std::system_error&) {
      if (threads_.empty()) throw;  // else the others will get to it
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
    job.work(job);
    job.home->post(job);  // the job may be gone from here on
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

}  // namespace ringlet
