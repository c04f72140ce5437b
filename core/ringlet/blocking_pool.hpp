// The threads that make calls which have no asynchronous form. One pool a process.
#pragma once

#include <ringlet/engine.hpp>
#include <ringlet/intrusive_list.hpp>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

namespace ringlet {

/// One call on a worker thread. Lives from submit() until `run` was called on the engine's thread
/// or withdraw() returned true.
struct blocking_job : posted_work, list_hook<> {
  /// Whose thread gets the answer. It must outlive the job.
  engine* home = nullptr;
  /// The call; on a worker thread. Must not throw.
  void (*work)(blocking_job&) noexcept = nullptr;
};

/// At most `threads_max` threads, started when needed and kept. Jobs wait in order: the queue is as
/// long as there are waiting callers, and no longer.
class blocking_pool {
 public:
  static constexpr std::size_t threads_max = 16;

  /// The pool of this process.
  static blocking_pool& instance();

  /// Any thread. Throws std::system_error when not even one thread can be started.
  void submit(blocking_job& job);
  /// Takes back a job that no worker has begun; false when it is too late. Any thread.
  bool withdraw(blocking_job& job) noexcept;

  blocking_pool() = default;
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;
  ~blocking_pool();

 private:
  void serve() noexcept;

  std::mutex mutex_;
  std::condition_variable work_or_end_;
  intrusive_list<blocking_job> waiting_;
  std::vector<std::thread> threads_;
  std::size_t queued_ = 0;
  std::size_t idle_ = 0;  // threads that wait for a job, those already notified included
  bool ending_ = false;
};

}  // namespace ringlet
