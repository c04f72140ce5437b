// scripted_engine: an engine that completes operations when the test says so, on a virtual clock.
//
//   scripted_engine engine;
//   ... something starts an operation ...
//   engine.complete(engine.oldest(opcode::accept), 7);   // the next wait() delivers it
//
// A wait() that finds nothing to deliver asks on_idle for the next step. Without one it moves the
// clock to its deadline; and when it has none, it would sleep forever, so the test is aborted
// with a list of what is in flight. The rules of the life of an operation are checked in the same
// way: one final completion for each start, none after that, nothing in flight at the end.
//
// What the real engine would decide, the script decides here:
//
//   cancel()   is answered with -ECANCELED at the next wait(), unless the test completed the
//              operation before (success wins) or holds cancellations back.
//   call()     is answered as the test says, or else as the table of opcodes does.
//   submit()   only queues: the test says when a call begins and when it ends. There are no
//   threads.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/opcode_row.hpp>
#include <ringlet/extend/engine.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace ringlet::test {
using namespace extend;

/// What a completion may carry besides its result.
struct extras {
  std::int32_t buffer = completion::no_buffer;
  bool more = false;
  bool nonempty = false;
};

/// What the engine was asked to do. The operation may be destroyed: these are its fields at the
/// time of the request.
struct request_record {
  enum class kind : std::uint8_t { start, cancel, call };
  kind what;
  opcode code;
  std::int32_t fd;
  std::int32_t events;  // of a poll
};

class scripted_engine final : public engine {
 public:
  static constexpr std::int32_t first_fd = 1000;
  static constexpr steady_ns start_time = 1'000'000'000;

  explicit scripted_engine(std::uint32_t buffer_count = 4, std::uint32_t buffer_size = 64);
  ~scripted_engine() override;

  /// Completes an operation that is in flight: the next wait() delivers it. Completions are
  /// delivered in the order of these calls.
  void complete(operation& op, std::int32_t result, extras more = {});
  /// Completes a receive, recv or read with those bytes, through a lent buffer for a receive.
  /// Without a free buffer the result is -ENOBUFS, as in the kernel. No bytes are the end of the
  /// stream. A multishot receive stays in flight, except at the end of the stream, without a
  /// buffer, and when it has delivered as many bytes as its limit allows.
  /// A datagram comes from 127.0.0.1:4242.
  void deliver(operation& op, std::string_view bytes, bool nonempty = false);
  /// Takes the buffer that has been free longest, as the kernel does; for complete(), or to empty
  /// the pool. Aborts the test when there is none.
  std::int32_t take_buffer();

  /// The operations in flight that the test has not finally completed, oldest first.
  const std::vector<operation*>& waiting() const noexcept { return waiting_; }
  bool is_waiting(opcode code, std::int32_t fd = any_fd) const noexcept;
  /// The oldest of that kind (on that descriptor). Aborts the test when there is none.
  operation& oldest(opcode code, std::int32_t fd = any_fd);
  /// The most recently started one in flight. Aborts the test when there is none.
  operation& last_started();

  /// Everything that was requested, in order, and the counts.
  const std::vector<request_record>& log() const noexcept { return log_; }
  std::size_t started(opcode code, std::int32_t fd = any_fd) const noexcept;
  std::size_t cancelled(opcode code, std::int32_t fd = any_fd) const noexcept;
  std::size_t called(opcode code, std::int32_t fd = any_fd) const noexcept;
  std::size_t closes(std::int32_t fd) const noexcept { return called(opcode::close, fd); }

  /// While true, cancellations are recorded and not answered: the test completes the operation.
  /// When it is set back to false, pending cancellations are answered at the next wait().
  void hold_cancellations(bool hold) noexcept { holding_ = hold; }
  /// How call() answers from now on.
  void answer(opcode code, std::int32_t result);
  void answer(opcode code, std::function<std::int32_t(operation&)> answerer);

  /// Called after each start; it may complete the operation.
  std::function<void(operation&)> on_start;
  /// The next step of the script, called when there is nothing to deliver and wait() would sleep.
  /// Returns false when there is no step left: then the clock moves on.
  std::function<bool()> on_idle;

  /// The jobs whose calls have not begun; and those that have begun and not ended.
  std::size_t jobs_queued() const noexcept { return jobs_queued_.size(); }
  std::size_t jobs_begun() const noexcept { return jobs_begun_.size(); }
  /// A worker takes the oldest job, which can then no longer be withdrawn. Aborts the test when
  /// there is none.
  void begin_job();
  /// Makes the oldest call that has begun, on this thread, and posts its answer. Aborts the test
  /// when there is none.
  void end_job();
  /// From now on submit() throws that error. This cannot be undone.
  void refuse_jobs(std::error_code why) noexcept { jobs_refused_ = why; }

  void advance(steady_ns by) noexcept { now_ += by; }
  std::size_t waits() const noexcept { return waits_; }
  std::size_t notifications() const noexcept { return notifications_; }
  std::size_t clock_readings() const noexcept { return clock_readings_; }

  void start(operation& op) noexcept override;
  void cancel(operation& op) noexcept override;
  std::int32_t call(operation& op) noexcept override;
  void submit(blocking_job& job) override;
  bool withdraw(blocking_job& job) noexcept override;
  std::size_t wait(steady_ns deadline, std::span<completion> out) override;
  steady_ns now() noexcept override {
    ++clock_readings_;
    return now_;
  }
  /// The same numbers in every run.
  std::uint64_t random() noexcept override { return ++random_ * 0x9e3779b97f4a7c15; }
  void recycle_buffer(std::int32_t buffer) noexcept override;
  std::uint32_t buffers_free() const noexcept override;

 private:
  void deliver_datagram(operation& op, std::string_view bytes);
  static constexpr std::int32_t any_fd = -2;

  void notify() noexcept override { ++notifications_; }
  void note(request_record::kind what, const operation& op);
  std::size_t count(request_record::kind what, opcode code, std::int32_t fd) const noexcept;
  operation* find(opcode code, std::int32_t fd) const noexcept;
  bool is_at_limit(const operation& op, std::size_t arrived);
  std::int32_t answer_as(detail::scripted_answer what, operation& op) noexcept;
  void answer_cancellations();
  void idle(steady_ns deadline);
  [[noreturn]] void fail(const std::string& sentence) const;

  std::vector<operation*> waiting_;
  std::map<const operation*, std::size_t> delivered_;  // bytes left of receives with a limit
  std::vector<operation*> due_cancellations_;
  std::deque<completion> ready_;
  std::deque<std::int32_t> free_buffers_;
  std::deque<blocking_job*> jobs_queued_;
  std::deque<blocking_job*> jobs_begun_;
  std::error_code jobs_refused_;
  std::vector<request_record> log_;
  std::map<opcode, std::function<std::int32_t(operation&)>> answers_;
  steady_ns now_ = start_time;
  std::uint64_t random_ = 0;
  std::int32_t next_fd_ = first_fd;
  std::size_t waits_ = 0;
  std::size_t notifications_ = 0;
  std::size_t clock_readings_ = 0;
  std::size_t idle_rounds_ = 0;
  bool holding_ = false;
};

using detail::name_of;

}  // namespace ringlet::test
