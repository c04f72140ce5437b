// The book-keeping of the scripted engine, and the messages with which it aborts a wrong test.
// SPDX-License-Identifier: MIT
#include "support/scripted_engine.hpp"

#include <ringlet/detail/sanitizers.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/datagram_header.hpp>

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ringlet::test {
using namespace extend;
namespace {

// A script that takes that many steps in a row without a completion is stuck in a loop.
constexpr std::size_t idle_rounds_max = 100'000;

}  // namespace

scripted_engine::scripted_engine(std::uint32_t buffer_count, std::uint32_t buffer_size) {
  statistics_.engine = "scripted";
  // Starting and cancelling must not allocate while a test makes allocations fail.
  constexpr std::size_t records_before_growth = 1000;
  log_.reserve(records_before_growth);
  waiting_.reserve(records_before_growth);
  due_cancellations_.reserve(records_before_growth);
  pool_.reset(new buffer_pool(*this, buffer_count, buffer_size));
  for (std::uint32_t id = 0; id < buffer_count; ++id) {
    free_buffers_.push_back(static_cast<std::int32_t>(id));
  }
}

scripted_engine::~scripted_engine() {
  if (in_flight() != 0) fail("the engine ended while operations were in flight");
  if (jobs_queued() + jobs_begun() != 0) fail("the engine ended while it had blocking jobs");
}

void scripted_engine::complete(operation& op, std::int32_t result, extras more) {
  const auto found = std::find(waiting_.begin(), waiting_.end(), &op);
  if (found == waiting_.end()) fail("an operation was completed that is not in flight");
  if (!more.more) {
    waiting_.erase(found);
    std::erase(due_cancellations_, &op);  // success wins
  }
  ready_.push_back({&op, result, more.buffer, more.more, more.nonempty});
}

namespace {

sockaddr_in loopback_sender() noexcept {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(4242);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return name;
}

// Fills in what the kernel would: the sender, and whether the first piece of memory sufficed.
std::int32_t receive_into(msghdr& message, std::string_view bytes) {
  const sockaddr_in from = loopback_sender();
  if (message.msg_name != nullptr) std::memcpy(message.msg_name, &from, sizeof from);
  message.msg_namelen = sizeof from;
  const std::size_t room = message.msg_iovlen == 0 ? 0 : message.msg_iov->iov_len;
  const std::size_t stored = std::min(room, bytes.size());
  if (stored != 0) std::memcpy(message.msg_iov->iov_base, bytes.data(), stored);
  message.msg_flags = stored < bytes.size() ? MSG_TRUNC : 0;
  message.msg_controllen = 0;
  return static_cast<std::int32_t>(bytes.size());
}

}  // namespace

void scripted_engine::deliver_datagram(operation& op, std::string_view bytes) {
  if (op.code == opcode::receive_message) {
    return complete(op, receive_into(*static_cast<msghdr*>(op.data), bytes));
  }
  if (free_buffers_.empty()) {
    ++statistics_.buffers_dry;
    return complete(op, -ENOBUFS);
  }
  const std::int32_t id = take_buffer();
  detail::unpoison(pool_->at(id), pool_->size());
  datagram_layout layout(*static_cast<const msghdr*>(op.data), {pool_->at(id), pool_->size()});
  const std::int32_t stored = layout.finish(receive_into(layout.message(), bytes));
  detail::poison(pool_->at(id), pool_->size());
  // The kernel ends the request with an empty datagram.
  complete(op, stored, {.buffer = id, .more = !bytes.empty()});
}

void scripted_engine::deliver(operation& op, std::string_view bytes, bool nonempty) {
  if (op.code == opcode::receive_datagram || op.code == opcode::receive_message) {
    return deliver_datagram(op, bytes);
  }
  if (op.code != opcode::receive) {
    if (bytes.size() > op.length) fail("more bytes were delivered than were asked for");
    std::memcpy(op.data, bytes.data(), bytes.size());
    return complete(op, static_cast<std::int32_t>(bytes.size()), {.nonempty = nonempty});
  }
  if (bytes.empty()) return complete(op, 0);
  if (bytes.size() > pool_->size()) fail("more bytes were delivered than a buffer holds");
  if (free_buffers_.empty()) {
    ++statistics_.buffers_dry;
    return complete(op, -ENOBUFS);
  }
  const std::int32_t id = take_buffer();
  detail::unpoison(pool_->at(id), bytes.size());
  std::memcpy(pool_->at(id), bytes.data(), bytes.size());
  complete(
      op, static_cast<std::int32_t>(bytes.size()),
      {.buffer = id, .more = op.multishot && !is_at_limit(op, bytes.size()), .nonempty = nonempty});
}

bool scripted_engine::is_at_limit(const operation& op, std::size_t arrived) {
  if (op.receive.limit == 0) return false;
  std::size_t& total = delivered_[&op];
  total += arrived;
  return total >= op.receive.limit;
}

std::int32_t scripted_engine::take_buffer() {
  if (free_buffers_.empty()) fail("a buffer was taken, and none is free");
  const std::int32_t id = free_buffers_.front();
  free_buffers_.pop_front();
  return id;
}

bool scripted_engine::is_waiting(opcode code, std::int32_t fd) const noexcept {
  return find(code, fd) != nullptr;
}

operation& scripted_engine::oldest(opcode code, std::int32_t fd) {
  operation* found = find(code, fd);
  if (found == nullptr) fail(std::string("the test looked for an operation: ") + name_of(code));
  return *found;
}

operation& scripted_engine::last_started() {
  if (waiting_.empty()) fail("the test looked for an operation, and none is in flight");
  return *waiting_.back();
}

std::size_t scripted_engine::started(opcode code, std::int32_t fd) const noexcept {
  return count(request_record::kind::start, code, fd);
}
std::size_t scripted_engine::cancelled(opcode code, std::int32_t fd) const noexcept {
  return count(request_record::kind::cancel, code, fd);
}
std::size_t scripted_engine::called(opcode code, std::int32_t fd) const noexcept {
  return count(request_record::kind::call, code, fd);
}

void scripted_engine::answer(opcode code, std::int32_t result) {
  answers_[code] = [result](operation&) { return result; };
}
void scripted_engine::answer(opcode code, std::function<std::int32_t(operation&)> answerer) {
  answers_[code] = std::move(answerer);
}

void scripted_engine::start(operation& op) noexcept {
  const detail::opcode_row* const row = detail::find_row(op.code);
  if (row == nullptr) fail("an operation was started that no engine knows");
  if (!row->may_start()) fail("an operation that is answered at once was started");
  if (op.multishot && !row->multishot) {
    fail("an operation was started as multishot that completes only once");
  }
  mark_queued(op);
  mark_in_kernel(op);
  note(request_record::kind::start, op);
  waiting_.push_back(&op);
  delivered_.erase(&op);
  if (on_start) on_start(op);
}

void scripted_engine::cancel(operation& op) noexcept {
  if (!mark_cancelled(op)) return;
  note(request_record::kind::cancel, op);
  // An operation that has completed and is not yet delivered cannot be cancelled any longer.
  if (std::find(waiting_.begin(), waiting_.end(), &op) != waiting_.end()) {
    due_cancellations_.push_back(&op);
  }
}

std::int32_t scripted_engine::call(operation& op) noexcept {
  const detail::opcode_row* const row = detail::find_row(op.code);
  if (row == nullptr) fail("a call was made that no engine knows");
  if (!row->may_call()) fail("an operation that takes time was made as a direct call");
  note(request_record::kind::call, op);
  const auto found = answers_.find(op.code);
  op.answer = found != answers_.end() ? found->second(op) : answer_as(row->scripted, op);
  return op.answer;
}

void scripted_engine::submit(blocking_job& job) {
  if (jobs_refused_) throw std::system_error(jobs_refused_, "no worker");
  job.owner = this;
  jobs_queued_.push_back(&job);
}

bool scripted_engine::withdraw(blocking_job& job) noexcept {
  return std::erase(jobs_queued_, &job) != 0;
}

void scripted_engine::begin_job() {
  if (jobs_queued_.empty()) fail("a blocking job was to begin, and none is queued");
  jobs_begun_.push_back(jobs_queued_.front());
  jobs_queued_.pop_front();
}

void scripted_engine::end_job() {
  if (jobs_begun_.empty()) fail("a blocking job was to end, and none has begun");
  blocking_job& job = *jobs_begun_.front();
  jobs_begun_.pop_front();
  job.work(job);
  post(job);
}

std::int32_t scripted_engine::answer_as(detail::scripted_answer what, operation& op) noexcept {
  switch (what) {
    case detail::scripted_answer::success:
      return 0;
    case detail::scripted_answer::would_wait:
      return -EAGAIN;
    case detail::scripted_answer::descriptor:
      return next_fd_++;
    case detail::scripted_answer::descriptors:
      for (int i = 0; i < 2; ++i) static_cast<int*>(op.data)[i] = next_fd_++;
      return 0;
    case detail::scripted_answer::address: {
      const sockaddr_in name = loopback_sender();
      std::memset(op.data, 0, op.length);
      std::memcpy(op.data, &name, std::min<std::size_t>(op.length, sizeof name));
      return 0;
    }
    case detail::scripted_answer::family:
      std::memset(op.data, 0, op.length);
      if (op.option.level == SOL_SOCKET && op.option.name == SO_DOMAIN) {
        *static_cast<int*>(op.data) = AF_INET;
      }
      return 0;
  }
  fail("a row of the table of opcodes names an answer that does not exist");
}

std::size_t scripted_engine::wait(steady_ns deadline, std::span<completion> out) {
  ++waits_;
  const auto final_ones =
      std::count_if(ready_.begin(), ready_.end(), [](const completion& one) { return !one.more; });
  if (in_flight() != waiting_.size() + static_cast<std::size_t>(final_ones)) {
    fail("wait() was called before all completions of the last one had been dispatched");
  }
  answer_cancellations();
  if (ready_.empty() && deadline > now_) idle(deadline);
  const std::size_t delivered = std::min(out.size(), ready_.size());
  std::copy_n(ready_.begin(), delivered, out.begin());
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(delivered));
  if (delivered != 0) idle_rounds_ = 0;
  statistics_.completions += delivered;
  return delivered;
}

void scripted_engine::idle(steady_ns deadline) {
  if (!announce_sleep()) return;
  const std::size_t notifications_before = notifications_;
  if (on_idle && on_idle()) {
    if (++idle_rounds_ > idle_rounds_max) fail("on_idle goes round in circles");
    answer_cancellations();
  } else if (ready_.empty() && notifications_ == notifications_before) {
    if (deadline == never) fail("nothing is left to happen, and wait() would sleep forever");
    now_ = std::max(now_, deadline);
  }
  announce_awake();
}

void scripted_engine::answer_cancellations() {
  if (holding_) return;
  while (!due_cancellations_.empty()) complete(*due_cancellations_.front(), -ECANCELED);
}

void scripted_engine::recycle_buffer(std::int32_t buffer) noexcept {
  const auto found = std::find(free_buffers_.begin(), free_buffers_.end(), buffer);
  if (found != free_buffers_.end()) fail("a buffer was given back twice");
  free_buffers_.push_back(buffer);
}

std::uint32_t scripted_engine::buffers_free() const noexcept {
  return static_cast<std::uint32_t>(free_buffers_.size());
}

void scripted_engine::note(request_record::kind what, const operation& op) {
  log_.push_back({what, op.code, op.fd, op.code == opcode::poll ? op.poll.events : 0});
}

std::size_t scripted_engine::count(request_record::kind what, opcode code,
                                   std::int32_t fd) const noexcept {
  return static_cast<std::size_t>(
      std::count_if(log_.begin(), log_.end(), [&](const request_record& one) {
        return one.what == what && one.code == code && (fd == any_fd || one.fd == fd);
      }));
}

operation* scripted_engine::find(opcode code, std::int32_t fd) const noexcept {
  for (operation* op : waiting_) {
    if (op->code == code && (fd == any_fd || op->fd == fd)) return op;
  }
  return nullptr;
}

void scripted_engine::fail(const std::string& sentence) const {
  std::string text = "scripted engine: " + sentence + "; in flight:";
  for (const operation* op : waiting_) {
    text += std::string(" ") + name_of(op->code) + "(fd " + std::to_string(op->fd) + ")";
  }
  if (waiting_.empty()) text += " nothing";
  detail::broken_rule(text.c_str(), __FILE__, __LINE__);
}

}  // namespace ringlet::test
