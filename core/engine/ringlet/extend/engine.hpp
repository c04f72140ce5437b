// engine: the only way to the kernel. It carries operations to the kernel and their completions
// back, tells the time, draws random numbers and lends buffers.
//
// On a thread that has an engine, no other code of the library makes system calls on descriptors,
// reads a clock or draws a random number. That lets a scripted engine test every contract phase by
// phase.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/mailbox.hpp>
#include <ringlet/detail/sanitizers.hpp>
#include <ringlet/engine_options.hpp>
#include <ringlet/extend/buffer_pool.hpp>
#include <ringlet/extend/descriptor_waiter.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/operation.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace ringlet::extend {

/// A time in nanoseconds, on the clock of std::chrono::steady_clock.
using steady_ns = std::int64_t;

/// A point in time that never comes.
inline constexpr steady_ns never = std::numeric_limits<steady_ns>::max();

/// Work for an engine's thread, queued by any thread. It must live until `run` was called.
struct posted_work {
  posted_work* next = nullptr;
  void (*run)(posted_work&) noexcept = nullptr;
};

class engine;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// The engine of this thread's scheduler; null if there is none. For messages; its address also
/// tells threads apart in two instructions.
extern thread_local constinit extend::engine* engine_here
    __attribute__((tls_model("initial-exec")));

}  // namespace ringlet::detail

namespace ringlet::extend {

/// A call without an asynchronous form, made for an engine by a worker thread. It must live from
/// submit() until `run` was called on the engine's thread, or withdraw() returned true.
struct blocking_job : posted_work, list_hook<> {
  /// The engine that the job was submitted to; its thread gets the answer.
  engine* owner = nullptr;
  /// The call; on a worker thread. Must not throw.
  void (*work)(blocking_job&) noexcept = nullptr;
};

/// What the engine is, and what it has done so far.
struct engine_statistics {
  /// "uring" or "epoll", and in parentheses its sizes and the optional features in use.
  std::string engine;
  std::uint64_t system_calls = 0;  // enters and calls
  std::uint64_t completions = 0;
  std::uint64_t overflows = 0;    // times the completion queue was found to have overflowed
  std::uint64_t buffers_dry = 0;  // completions that found no buffer to fill
  std::uint64_t posts = 0;        // posted work that was run, of any thread
  std::uint64_t wakes = 0;        // by other threads; posts to an engine that is awake need none
};

/// Thread: the one that created it; post() and wake() may be called from any thread.
class engine {
 public:
  virtual ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// statistics().engine.
  const std::string& name() const noexcept { return statistics_.engine; }
  /// The name of the scheduler that uses the engine, for messages; empty without one.
  const std::string& user() const noexcept { return user_; }
  void set_user(std::string label) noexcept { user_ = std::move(label); }

  /// Starts an operation, which must be idle or done. Never fails and never completes it: an error
  /// is the result of the completion, which a later wait() delivers.
  virtual void start(operation& op) noexcept = 0;
  /// Asks for the final completion of an operation soon, with -ECANCELED unless the operation
  /// completes first. A cancellation is never dropped and does not allocate. Does nothing if the
  /// operation is not in flight.
  virtual void cancel(operation& op) noexcept = 0;
  /// Makes a call that the kernel answers immediately. Returns op.answer.
  virtual std::int32_t call(operation& op) noexcept = 0;

  /// Registers a descriptor for repeated waits, until call() closes it or unregister_fd() is
  /// called: an engine may then keep state about it between operations. Any other descriptor may be
  /// closed anywhere as soon as nothing is in flight on it.
  virtual void register_fd(int fd) noexcept { static_cast<void>(fd); }
  /// Undoes register_fd(): the descriptor leaves the engine without being closed. Nothing is in
  /// flight on it.
  virtual void unregister_fd(int fd) noexcept { static_cast<void>(fd); }

  /// Submits what was started, and takes completions, at most out.size(). Returns how many. If
  /// there is none, sleeps until the first one or until `deadline`; does not sleep if that has
  /// passed. A wake-up, a signal or posted work ends the sleep early. The caller must pass every
  /// completion to dispatch(), in order, and then call run_posted(), because an engine may post
  /// work to itself. Throws std::system_error if the kernel fails the engine as a whole; a
  /// scheduler then ends the program.
  virtual std::size_t wait(steady_ns deadline, std::span<completion> out) = 0;
  /// Ends a sleep in wait(), or the next one. Any thread; safe in a signal handler.
  void wake() noexcept {
    mailbox_.wake([this]() noexcept { notify(); });
  }

  /// Lets a worker make the call of `job`, then posts the job to this engine: its `run` is the
  /// answer. Throws std::system_error if there is no worker and none can be started; the job is
  /// then not submitted.
  virtual void submit(blocking_job& job) = 0;
  /// Withdraws a job whose call has not begun: returns true, and the job is not answered. False if
  /// the call has begun or was answered.
  virtual bool withdraw(blocking_job& job) noexcept = 0;

  virtual steady_ns now() noexcept = 0;
  /// A random number, all 64 bits of it. Not for secrets.
  virtual std::uint64_t random() noexcept = 0;

  /// Recycles a lent buffer; called by the pool.
  virtual void recycle_buffer(std::int32_t buffer) noexcept = 0;
  /// How many buffers the kernel can still fill. Zero means that a receive would find none.
  virtual std::uint32_t buffers_free() const noexcept = 0;
  buffer_pool& buffers() noexcept { return *pool_; }

  /// How many operations were started and are not done.
  std::size_t in_flight() const noexcept { return in_flight_; }
  /// Objects that ran out of descriptors. The code that closes one by call() notifies them.
  ringlet::extend::descriptor_waiters& descriptor_waiters() noexcept { return descriptor_waiters_; }
  const engine_statistics& statistics() const noexcept { return statistics_; }

  /// Passes a completion to its operation.
  void dispatch(const completion& done) noexcept {
    operation& op = *done.request;
    op.answer = done.result;
    if (!done.more) {
      // Leaves any list of pending cancellations: nothing is left to cancel.
      op.unlink();
      op.life_ &= static_cast<std::uint8_t>(~operation::is_in_flight);
      --in_flight_;
    }
    op.on_completion(op, done);
  }

  /// Queues work for this engine's thread, and ends its sleep. Any thread. First in, first out per
  /// posting thread. The engine may be destroyed as soon as the work has run.
  void post(posted_work& work) noexcept;
  /// Whether there is posted work that run_posted() has not run.
  bool has_posted() const noexcept { return unrun_ != nullptr || mailbox_.has_posted(); }
  /// Whether work was posted that run_posted() has not taken. Any thread that knows, by other
  /// means, that the work was posted before, and that it is not being taken now.
  bool has_arrivals() const noexcept { return mailbox_.has_posted(); }
  /// Runs posted work in order, at most `most` items; returns how many. The next call runs the rest
  /// and nothing else; until then wait() does not sleep.
  std::size_t run_posted(std::size_t most = std::numeric_limits<std::size_t>::max()) noexcept;

 protected:
  engine() noexcept = default;

  /// Checks and records the state of an operation, for engines.
  void mark_queued(operation& op) noexcept {
    RINGLET_ASSERT(!op.in_flight(), "an operation was started while it was in flight");
#ifdef RINGLET_ASAN
    check_memory(op);
#endif
    op.life_ = operation::was_started | operation::is_in_flight;
    ++in_flight_;
  }
  /// Aborts if the operation names memory that must not be used: AddressSanitizer does not see the
  /// kernel's accesses. Does nothing without AddressSanitizer.
  static void check_memory(const operation& op) noexcept;
  static void mark_in_kernel(operation& op) noexcept { op.life_ |= operation::is_in_kernel; }
  /// False if there is nothing to cancel or cancellation was requested before.
  static bool mark_cancelled(operation& op) noexcept {
    if (!op.in_flight() || op.cancel_requested()) return false;
    op.life_ |= operation::is_cancelled;
    return true;
  }
  static bool is_cancelled(const operation& op) noexcept { return op.cancel_requested(); }

  /// Announces that the thread is about to sleep. False if there is posted work or a wake-up: then
  /// it must not sleep.
  bool announce_sleep() noexcept { return unrun_ == nullptr && mailbox_.announce_sleep(); }
  void announce_awake() noexcept { mailbox_.announce_awake(); }

  /// Destructors call this first: waits until no other thread is inside post() or wake(). The work
  /// that a thread posted may have run, and the engine may be ending, before that thread calls
  /// notify().
  void wait_for_posters() const noexcept { mailbox_.wait_for_posters(); }

  /// Makes wait() return. Called by any thread or by a signal handler, once per announced sleep.
  virtual void notify() noexcept = 0;

  struct pool_closer {
    void operator()(buffer_pool* pool) const noexcept { pool->abandon(); }
  };

  std::size_t in_flight_ = 0;
  std::unique_ptr<buffer_pool, pool_closer> pool_;
  engine_statistics statistics_;

 private:
  std::string user_;
  ringlet::extend::descriptor_waiters descriptor_waiters_;
  posted_work* unrun_ = nullptr;  // taken by this thread, oldest first
  detail::mailbox<posted_work> mailbox_;
};

/// The engine on io_uring. It requires features of Linux 6.1: single_issuer, defer_taskrun,
/// buffer_ring, multishot_accept and multishot_poll. Where the kernel has them it also uses
/// multishot_receive, limited_receive (Linux 6.17), registered_ring and no_iowait (Linux 6.15).
/// ringlet probes the kernel's features by trying them, once per process, in about a millisecond.
/// The environment variable RINGLET_DISABLE, a comma-separated list of such names, switches
/// features off.
///
/// Throws std::system_error with a message that names what refused io_uring (seccomp, sysctl,
/// memory lock limit, old kernel) and what would allow it; std::invalid_argument if RINGLET_DISABLE
/// contains an unknown name. A ring that is refused for lack of memory is tried again with smaller
/// queues and fewer buffers.
std::unique_ptr<engine> make_uring_engine(const engine_options& options = {});

/// The engine on epoll(7), for systems that refuse io_uring: any Linux since 4.5. The blocking
/// workers read and write regular files. Throws std::system_error if there is no descriptor,
/// std::bad_alloc if even the smallest number of buffers does not fit.
std::unique_ptr<engine> make_epoll_engine(const engine_options& options = {});

/// Makes the requested engine. With `automatic`, the environment variable RINGLET_ENGINE ("uring"
/// or "epoll") decides. Without it, the engine is io_uring, or epoll if io_uring is refused; one
/// line on standard error (once per process) then says what refused it, what would allow it, and
/// that epoll is used. Throws like the two functions above, and std::invalid_argument if
/// RINGLET_ENGINE has another value. make_engine() never hides a lack of file descriptors by
/// choosing epoll.
std::unique_ptr<engine> make_engine(engine_kind kind, const engine_options& options = {});

}  // namespace ringlet::extend
