// The threads that run calls without an asynchronous form. One pool per process.
//
// The pool of the process is never destroyed, because a thread that outlives main() may still use
// it. So exit() does not wait for running calls, and the process ends in the middle of them. (run()
// has waited for the calls of its own fibers.)
//
// A child of fork() has none of its parent's threads: it creates its own pool at the first job.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/intrusive_list.hpp>

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

namespace ringlet::detail {

/// At most `threads_max` threads, started when needed and kept. Jobs wait in order. The queue is
/// never longer than the number of waiting callers.
class blocking_pool {
 public:
  static constexpr std::size_t threads_max = 16;

  /// The pool of this process. Throws std::bad_alloc if it cannot be made.
  static blocking_pool& instance();

  /// Any thread. A job without an owner is not answered, and may end its own life in its call.
  /// Throws std::system_error if not even one thread can be started.
  void submit(extend::blocking_job& job);
  /// Withdraws a job that no worker has begun; returns false if one has. Any thread. The job must
  /// have been submitted by this process.
  bool withdraw(extend::blocking_job& job) noexcept;

  blocking_pool() = default;
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;
  /// Waits until all submitted jobs are done.
  ~blocking_pool();

 private:
  void serve() noexcept;

  std::mutex mutex_;
  std::condition_variable work_or_end_;
  extend::intrusive_list<extend::blocking_job> waiting_;
  std::vector<std::thread> threads_;
  std::size_t queued_ = 0;
  std::size_t idle_ = 0;  // threads that wait for a job, including those already notified
  bool ending_ = false;
  blocking_pool* parents_ = nullptr;  // the parent's pool in a child of fork(); never used
};

}  // namespace ringlet::detail
