// Makes the calls, parks operations and wakes them; the header explains how.
// SPDX-License-Identifier: MIT
#include "epoll_engine.hpp"

#include <ringlet/detail/report.hpp>
#include <ringlet/error.hpp>

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <system_error>

#include "attempt.hpp"

namespace ringlet::extend {
using namespace detail;
namespace {

// How many events one turn takes, and how many connections and datagrams. With 64 events, received
// bytes are answered while they are in the cache; with 256, a message cost a third more.
constexpr int events_max = 64;
constexpr std::size_t repeats_max = 64;
constexpr std::uint32_t buffer_count_min = 8;
// How often to retry a connect to a Unix socket whose backlog is full: epoll does not report when
// that changes.
constexpr steady_ns retry_pause = 10'000'000;

constexpr std::uint32_t everything = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;
// The only events that the kernel allows with EPOLLEXCLUSIVE.
constexpr std::uint32_t everything_exclusively = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLEXCLUSIVE;
constexpr std::uint32_t failures = EPOLLERR | EPOLLHUP;

// The operation fails with ENOSPC, whose text blames a disk. Printed once per process.
void tell_of_watches() noexcept {
  static std::atomic_flag told;
  if (told.test_and_set()) return;
  detail::report(
      "ringlet: epoll: no watch is left for this user; raise the sysctl "
      "fs.epoll.max_user_watches\n");
}

}  // namespace

// A read or write of a regular file by a worker, from hand_to_worker() to take_answers().
struct epoll_engine::file_call : blocking_job, list_hook<epoll_engine> {
  explicit file_call(operation& made) noexcept : op(&made), result(0) {
    work = [](blocking_job& job) noexcept {
      auto& self = static_cast<file_call&>(job);
      self.result = read_or_write(*self.op);
    };
    run = [](posted_work& job) noexcept {
      auto& self = static_cast<file_call&>(static_cast<blocking_job&>(job));
      self.move_to(static_cast<epoll_engine*>(self.owner)->answered_);
    };
  }
  void move_to(intrusive_list<file_call, epoll_engine>& list) noexcept {
    list_hook<epoll_engine>::unlink();
    list.push_back(*this);
  }

  operation* op;
  std::int32_t result;
};

epoll_engine::epoll_engine(const engine_options& options)
    : poller_(::epoll_create1(EPOLL_CLOEXEC)) {
  epoll_event event{EPOLLIN | EPOLLET, {.fd = wakeup_fd()}};
  if (!poller_ || ::epoll_ctl(poller_.get(), EPOLL_CTL_ADD, wakeup_fd(), &event) != 0) {
    const int error = errno;
    throw engine_refused(error, std::string("no epoll instance could be made (") +
                                    std::strerror(error) + "): " + explain_shortage(error));
  }
  for (std::uint32_t count = options.buffer_count; !pool_; count /= 2) {
    try {
      pool_.reset(new buffer_pool(*this, count, options.buffer_size));
    } catch (const std::bad_alloc&) {
      if (count <= buffer_count_min) throw;
    }
  }
  // Last in, first out: the buffer returned last is still in the cache.
  for (auto id = static_cast<std::int32_t>(pool_->count()); id-- > 0;) recycle_buffer(id);
  statistics_.engine = "epoll (" + std::to_string(pool_->count()) + " buffers)";
}

epoll_engine::~epoll_engine() {
  wait_for_posters();
  RINGLET_ASSERT(in_flight() == 0, "an engine ended while operations were in flight");
}

// Descriptors

// The events that may end its wait. For a poll, all of them: each one makes the engine try again.
std::uint32_t epoll_engine::events_of(const operation& op) noexcept {
  return detail::row_of(op.code).readiness;
}

epoll_engine::slot* epoll_engine::find_slot(int fd) noexcept {
  const auto number = static_cast<std::size_t>(fd);
  const std::size_t page = number / slots_per_page;
  if (fd < 0 || page >= pages_.size() || pages_[page] == nullptr) return nullptr;
  return &(*pages_[page])[number % slots_per_page];
}

epoll_engine::slot* epoll_engine::slot_of(int fd) noexcept {
  if (slot* const found = find_slot(fd)) return found;
  const std::size_t page = static_cast<std::size_t>(fd) / slots_per_page;
  try {
    if (page >= pages_.size()) pages_.resize(page + 1);
    pages_[page] = std::make_unique<slot_page>();
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return find_slot(fd);
}

int epoll_engine::enlist(slot& at, const operation& op) noexcept {
  const bool is_shared = op.code == opcode::accept && !op.multishot;
  return enlist(at, op.fd, is_shared ? everything_exclusively : everything);
}

// Returns 0 or an errno. The next epoll_wait(2) reports what is already ready.
int epoll_engine::enlist(slot& at, int fd, std::uint32_t events) noexcept {
  if (at.registered && at.kept) return 0;
  epoll_event event{events, {.fd = fd}};
  ++statistics_.system_calls;
  const bool added = ::epoll_ctl(poller_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  if (at.registered) {
    if (!added && errno == EEXIST) return 0;
    disown(at);
  }
  if (!added) {
    const int error = errno;
    if (error == ENOSPC) tell_of_watches();
    return error;
  }
  at.registered = true;
  at.breaks_off = false;
  at.waits = 0;
  if (at.kept) {
    int protocol = 0;
    socklen_t length = sizeof protocol;
    ++statistics_.system_calls;
    at.is_tcp = ::getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
                protocol == IPPROTO_TCP;
  }
  return 0;
}

// The owner closed the file, and another file now has its number. The operations parked there get
// EBADF when they are tried next.
void epoll_engine::disown(slot& at) noexcept {
  at.registered = at.is_tcp = false;
  while (!at.parked.empty()) {
    operation& op = at.parked.pop_front();
    op.fd = -1;
    started_.push_back(op);
  }
}

void epoll_engine::delist(slot& at, int fd) noexcept {
  if (!at.registered) return;
  at.registered = at.is_tcp = false;
  // Closing is not enough if the same file is open elsewhere, such as in a forked child.
  ++statistics_.system_calls;
  ::epoll_ctl(poller_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void epoll_engine::register_fd(int fd) noexcept {
  if (fd < 0) return;
  // Without memory for its slot the descriptor is not kept, which only costs time.
  slot* const at = slot_of(fd);
  if (at == nullptr) return;
  if (at->registered && !at->kept) {
    enlist(*at, fd, everything);
    if (at->parked.empty()) delist(*at, fd);
  }
  at->kept = true;
}

void epoll_engine::unregister_fd(int fd) noexcept {
  slot* const at = find_slot(fd);
  if (at == nullptr) return;
  RINGLET_ASSERT(at->parked.empty(), "a descriptor was closed while an operation waited for it");
  delist(*at, fd);
  at->kept = false;
}

bool epoll_engine::would_wait(const slot* at, const operation& op) const noexcept {
  const bool known = at != nullptr && at->registered;
  // A multishot poll completes once per edge. Adding the descriptor to the epoll set reports what
  // is already ready as the first edge; a poll(2) without an edge would report it repeatedly.
  if (op.code == opcode::poll) return op.multishot && !known;
  if (op.code == opcode::connect) return false;
  return known ? (at->waits & events_of(op)) != 0 : op.poll_first;
}

// The number of bytes asked for: a shorter transfer means that a TCP socket is empty or full. 0 if
// the count says nothing, for instance because flags change its meaning.
std::uint32_t epoll_engine::expected_count(const operation& op) const noexcept {
  switch (detail::row_of(op.code).fields) {
    case detail::operation_fields::receive:
      return op.receive.flags == 0 ? pool_->size() : 0;
    case detail::operation_fields::transfer:
      return op.transfer.flags == 0 ? op.length : 0;  // messages have no length
    case detail::operation_fields::file:
      return op.length;
    default:
      return 0;
  }
}

// Remembers what a call revealed about its descriptor, until the next edge.
void epoll_engine::learn(slot* at, const operation& op, std::int32_t result) noexcept {
  if (at == nullptr || !at->registered) return;
  // A poll that finds nothing means that there is no input, if it asked for input. It says nothing
  // about room: a mostly full socket accepts bytes although it is not reported as writable.
  if (result == -EAGAIN) {
    at->waits |=
        op.code == opcode::poll ? static_cast<unsigned>(op.poll.events) & EPOLLIN : events_of(op);
  }
  // A TCP socket that returned less than was asked for is empty, and one that accepted less is full
  // (epoll(7), question 9). But a receive also stops at urgent data and before the end of the
  // stream.
  if (!at->is_tcp || result <= 0 || at->breaks_off) return;
  if (static_cast<std::uint32_t>(result) < expected_count(op)) at->waits |= events_of(op);
}

// Starting and ending operations

void epoll_engine::start(operation& op) noexcept {
  detail::check_start(op.code);
  mark_queued(op);
  poison_target(op);
  started_.push_back(op);
}

void epoll_engine::cancel(operation& op) noexcept {
  if (!mark_cancelled(op)) return;
  // The next wait() tries the operation for the last time: success wins.
  if (op.current_state() == operation::state::queued) return;
  if (op.linked()) {
    op.unlink();
    started_.push_back(op);
    return;
  }
  for (file_call* call = calls_.next(nullptr); call != nullptr; call = calls_.next(call)) {
    if (call->op != &op) continue;
    if (!withdraw(*call)) return;  // a worker is making the call
    call->result = -ECANCELED;
    call->move_to(answered_);
    return;
  }
}

std::int32_t epoll_engine::call(operation& op) noexcept {
  if (op.code == opcode::close) unregister_fd(op.fd);
  const std::int32_t answer = kernel_engine::call(op);
  if (op.code == opcode::receive_now || op.code == opcode::poll) {
    learn(find_slot(op.fd), op, answer);
  }
  return answer;
}

// Fills in the final completion of an operation.
void epoll_engine::complete(operation& op, slot* at, std::int32_t result,
                            completion& done) noexcept {
  unpoison_target(op);
  done.request = &op;
  done.result = result;
  done.more = false;
  if (at != nullptr && !at->kept && at->parked.empty()) delist(*at, op.fd);
}

// Parks the operation and returns 0, or returns the negated errno that prevents it.
std::int32_t epoll_engine::park(operation& op) noexcept {
  if (op.fd < 0) return -EBADF;
  slot* const at = slot_of(op.fd);
  if (at == nullptr) return -ENOMEM;
  if (const int error = enlist(*at, op); error != 0) {
    if (error != EPERM) return -error;
    // A regular file. Its poll asks for neither reading nor writing, so its events never come. The
    // answer is the same as io_uring's.
    if (op.code == opcode::poll) return -EINVAL;
    return op.code == opcode::read || op.code == opcode::write ? hand_to_worker(op) : -error;
  }
  if (op.code != opcode::poll && op.code != opcode::connect) at->waits |= events_of(op);
  at->parked.push_back(op);
  return 0;
}

std::int32_t epoll_engine::hand_to_worker(operation& op) noexcept {
  try {
    auto made = std::make_unique<file_call>(op);
    unpoison_target(op);
    submit(*made);
    calls_.push_back(*made.release());
    return 0;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  } catch (const std::system_error& error) {
    return -error.code().value();
  }
}

std::size_t epoll_engine::take_answers(std::span<completion> out) noexcept {
  std::size_t count = 0;
  while (count < out.size() && !answered_.empty()) {
    const std::unique_ptr<file_call> call(&answered_.front());
    static_cast<list_hook<epoll_engine>&>(*call).unlink();
    out[count] = {};
    complete(*call->op, find_slot(call->op->fd), call->result, out[count++]);
  }
  return count;
}

// Making the calls

std::size_t epoll_engine::try_started(std::span<completion> out) noexcept {
  std::size_t count = 0;
  while (count < out.size() && !started_.empty()) {
    count += try_one(started_.pop_front(), out[count]);
  }
  return count;
}

// Makes the call of an operation, unless it would wait; then puts the operation where an event or a
// timer retries it. Returns the number of completions, 0 or 1.
std::size_t epoll_engine::try_one(operation& op, completion& done) noexcept {
  const bool first = op.code == opcode::accept && op.current_state() == operation::state::queued;
  mark_in_kernel(op);
  slot* const at = find_slot(op.fd);
  done = {};
  std::int32_t result = first ? stop_waiting(op.fd) : 0;
  if (result == 0 && op.code != opcode::nop) result = call_unless_it_waits(op, at, done);
  if (must_wait(op, result)) {
    result = is_cancelled(op) ? -ECANCELED : put_aside(op, result);
    if (result == 0) return 0;
  }
  // A cancelled operation ends with the result of this last try. A receive with a limit may end
  // before reaching it, so here it ends with its first completion.
  if (op.multishot && !is_limited(op) && !is_cancelled(op) &&
      (result > 0 || (result == 0 && op.code == opcode::accept))) {
    go_on(op, at, result, done);
  } else {
    complete(op, at, result, done);
  }
  return 1;
}

std::int32_t epoll_engine::call_unless_it_waits(operation& op, slot* at,
                                                completion& done) noexcept {
  if (would_wait(at, op) && !is_cancelled(op)) return -EAGAIN;
  ++statistics_.system_calls;
  std::int32_t result = 0;
  if (fills_lent_buffer(op.code)) {
    result = receive(op, done);
  } else {
    unpoison_target(op);
    result = detail::row_of(op.code).attempt(op, at != nullptr && at->registered);
    if (result == -EAGAIN) poison_target(op);
    done.nonempty = op.code == opcode::recv && result == static_cast<std::int32_t>(op.length);
  }
  learn(at, op, result);
  return result;
}

std::int32_t epoll_engine::receive_into(const operation& op, std::span<std::byte> memory) noexcept {
  if (op.code == opcode::receive_datagram) return receive_datagram_into(op, memory);
  operation into(opcode::recv, nullptr);
  into.fd = op.fd;
  into.transfer.flags = op.receive.flags;
  into.data = memory.data();
  into.length = static_cast<std::uint32_t>(memory.size());
  return attempt_recv(into, false);
}

std::int32_t epoll_engine::receive(operation& op, completion& done) noexcept {
  if (free_buffer_ == completion::no_buffer) {
    ++statistics_.buffers_dry;
    return -ENOBUFS;
  }
  const std::int32_t id = free_buffer_;
  detail::unpoison(pool_->at(id), pool_->size());
  const std::int32_t result = receive_into(op, {pool_->at(id), pool_->size()});
  detail::poison(pool_->at(id), pool_->size());
  if (result <= 0) return result;
  free_buffer_ = pool_->filled_at(id).next;
  --buffers_free_;
  done.buffer = id;
  done.nonempty = static_cast<std::uint32_t>(result) == pool_->size();
  return result;
}

// A connect in progress returns EINPROGRESS. From a Unix socket, EAGAIN means that the backlog is
// full; from another family it is a failure.
bool epoll_engine::must_wait(const operation& op, std::int32_t result) noexcept {
  if (op.code != opcode::connect) return result == -EAGAIN;
  return result == -EINPROGRESS ||
         (result == -EAGAIN && static_cast<const sockaddr*>(op.data)->sa_family == AF_UNIX);
}

// Puts an operation where an event or a timer retries it. Returns 0, or the negated errno that
// prevents it.
std::int32_t epoll_engine::put_aside(operation& op, std::int32_t result) noexcept {
  if (op.code != opcode::connect || result == -EINPROGRESS) return park(op);
  later_.push_back(op);
  return 0;
}

// Fills in a completion of a multishot operation that stays in flight.
void epoll_engine::go_on(operation& op, slot* at, std::int32_t result, completion& done) noexcept {
  done.request = &op;
  done.result = result;
  done.more = true;
  const bool told_by_edge = op.code == opcode::poll || would_wait(at, op);
  if (told_by_edge && at != nullptr && at->registered) {
    at->parked.push_back(op);
  } else if ((op.code == opcode::accept || op.code == opcode::receive_datagram) &&
             repeats_left_ != 0) {
    --repeats_left_;
    started_.push_back(op);
  } else {
    again_.push_back(op);
  }
}

// Waiting for events

std::size_t epoll_engine::wait(steady_ns deadline, std::span<completion> out) {
  repeats_left_ = repeats_max;
  started_.splice_back(again_);
  std::size_t count = take_answers(out);
  count += try_started(out.subspan(count));
  // Descriptors that are always ready must not starve other operations, so at least every other
  // wait() asks the kernel.
  if (count == 0 || !just_polled_) {
    poll(count == 0 ? deadline : 0);
    count += try_started(out.subspan(count));
    just_polled_ = true;
  } else {
    just_polled_ = false;
  }
  statistics_.completions += count;
  return count;
}

void epoll_engine::poll(steady_ns deadline) {
  if (deadline <= 0 && in_flight() == 0) return;
  const bool sleeps = deadline > 0 && announce_sleep();
  steady_ns timeout = 0;
  if (sleeps) {
    if (!later_.empty()) deadline = std::min(deadline, now() + retry_pause);
    timeout = deadline == never ? never : std::clamp<steady_ns>(deadline - now(), 0, sleep_max);
  }
  std::array<epoll_event, events_max> events;
  const int count = poll_kernel(timeout, events);
  const int error = errno;
  if (sleeps) announce_awake();
  if (count < 0 && error != EINTR) throw_error(system_error_code(-error), "epoll_wait");
  for (int i = 0; i < count; ++i) {
    const epoll_event& one = events[static_cast<std::size_t>(i)];
    on_event(one.data.fd, one.events);
  }
  started_.splice_back(later_);
}

int epoll_engine::poll_kernel(steady_ns timeout, std::span<epoll_event> events) noexcept {
  const int room = static_cast<int>(events.size());
  ++statistics_.system_calls;
  if (has_exact_sleep_) {
    const timespec limit{timeout / nanoseconds_per_second, timeout % nanoseconds_per_second};
    const timespec* const sleep = timeout == never ? nullptr : &limit;
    // A raw system call, because in a child forked by a process with threads, clang 19's
    // ThreadSanitizer makes the C library's call twice and drops the events of the first.
    const long count =
        ::syscall(SYS_epoll_pwait2, poller_.get(), events.data(), room, sleep, nullptr, 0);
    // Otherwise the kernel, or the seccomp filter, is older than epoll_pwait2(2).
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(count);
    has_exact_sleep_ = false;
  }
  constexpr steady_ns nanoseconds_per_millisecond = 1'000'000;
  constexpr steady_ns longest = std::numeric_limits<int>::max();
  const steady_ns milliseconds =
      (std::min(timeout, never - nanoseconds_per_millisecond) + nanoseconds_per_millisecond - 1) /
      nanoseconds_per_millisecond;
  return ::epoll_wait(poller_.get(), events.data(), room,
                      timeout == never ? -1 : static_cast<int>(std::min(milliseconds, longest)));
}

void epoll_engine::on_event(int fd, std::uint32_t events) noexcept {
  if (fd == wakeup_fd()) {
    ++statistics_.wakes;
    return;
  }
  slot* const at = find_slot(fd);
  if (at == nullptr || !at->registered) return;
  std::uint32_t ready = 0;
  if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | failures)) ready |= EPOLLIN;
  if (events & (EPOLLOUT | failures)) ready |= EPOLLOUT;
  at->waits &= ~ready;
  at->breaks_off |= (events & (EPOLLRDHUP | EPOLLPRI | failures)) != 0;
  for (operation* op = at->parked.next(nullptr); op != nullptr;) {
    operation* const after = at->parked.next(op);
    if (events_of(*op) & ready) {
      op->unlink();
      started_.push_back(*op);
    }
    op = after;
  }
}

// Buffers

void epoll_engine::recycle_buffer(std::int32_t id) noexcept {
  pool_->filled_at(id).next = free_buffer_;
  free_buffer_ = id;
  ++buffers_free_;
}

std::unique_ptr<engine> make_epoll_engine(const engine_options& options) {
  check_options(options);
  return std::make_unique<epoll_engine>(options);
}

}  // namespace ringlet::extend
