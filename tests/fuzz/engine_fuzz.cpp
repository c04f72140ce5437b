// A history of operations, cancellations and peers on the engines of the kernel, against the
// contract at the head of operation.hpp:
//
//   each start is answered by one final completion, and not before it is dispatched;
//   success wins: no byte is lost, duplicated or out of order, whatever was cancelled when;
//   no cancellation is dropped: what was cancelled ends;
//   each buffer comes back.
//
// The bytes of a stream follow from their position, so that what is read shows what went wrong.
// RINGLET_ENGINE leaves only one engine.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>
#include <ringlet/unique_fd.hpp>

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

constexpr std::size_t memory_size = 700;  // more than one lent buffer
constexpr engine_options small{
    .submission_entries = 8, .completion_entries = 16, .buffer_count = 8, .buffer_size = 256};
// A watchdog, not a measurement: how long an engine may sleep although something must complete.
constexpr steady_ns patience = 20'000'000'000;

class byte_stream {
 public:
  void write(std::span<std::byte> memory) const noexcept {
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = at(written_ + i);
  }
  void was_written(std::size_t count) noexcept { written_ += count; }
  void was_read(std::span<const std::byte> memory) {
    for (const std::byte one : memory) {
      demand(one == at(read_++), "bytes are read once and in the order they were written");
    }
  }
  bool is_empty() const noexcept { return read_ == written_; }

 private:
  static std::byte at(std::size_t position) noexcept {
    return static_cast<std::byte>((position + 1) * 0x9e3779b97f4a7c15 >> 56);
  }
  std::size_t written_ = 0;
  std::size_t read_ = 0;
};

class connection;

// An operation that checks its life, and reports each completion to the connection.
struct checked_operation : operation {
  using listener = void (connection::*)(const completion&);

  checked_operation(connection& to, opcode kind, listener told)
      : operation(kind, &checked_operation::completed), owner(to), tell(told) {}

  void start_on(extend::engine& engine) {
    ++starts;
    engine.start(*this);
    demand(in_flight(), "start() does not complete what it starts");
  }

  connection& owner;
  listener tell;
  std::size_t starts = 0;
  std::size_t finals = 0;

 private:
  static void completed(operation& op, const completion& done) noexcept;
};

// The engine drives the near end, plain calls drive the far end.
class connection {
 public:
  connection(extend::engine& engine, choices& chosen)
      : engine_(engine), chosen_(chosen), kept_(chosen.below(2) == 1) {
    is_tcp_ = chosen.below(2) == 1;
    ends_ = is_tcp_ ? tcp_pair() : socket_pair();
    // A port that is closed with a reset is free at once; otherwise ports would run out.
    const linger none{1, 0};
    for (const unique_fd* end : {&ends_.near, &ends_.far}) {
      ::setsockopt(end->get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
      const int on = 1;
      if (is_tcp_) ::setsockopt(end->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (kept_) engine_.register_fd(ends_.near.get());
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection() {
    if (kept_) engine_.unregister_fd(ends_.near.get());
  }

  void step() {
    switch (chosen_.below(11)) {
      case 0:
        return start_reading();
      case 1:
        return start_writing();
      case 2:
        return start_polling();
      case 3:
        return engine_.cancel(reading_);
      case 4:
        return engine_.cancel(writing_);
      case 5:
        return engine_.cancel(polling_);
      case 6:
        return held_.clear();
      case 7:
        return far_writes();
      case 8:
        return far_reads();
      case 9:
        return far_ends();
      default:
        return far_resets();
    }
  }
  void cancel() noexcept {
    engine_.cancel(reading_);
    engine_.cancel(writing_);
    engine_.cancel(polling_);
  }
  bool in_flight() const noexcept {
    return reading_.in_flight() || writing_.in_flight() || polling_.in_flight();
  }
  // Checks, when nothing is in flight, that what was written and not read is still in the sockets.
  void check() {
    held_.clear();
    for (const auto* op : {&reading_, &writing_, &polling_}) {
      demand(op->starts == op->finals, "each start is answered by one final completion");
    }
    if (reset_) return;
    read_the_rest(ends_.near, in_);
    read_the_rest(ends_.far, out_);
  }

 private:
  friend struct checked_operation;

  void start_reading() {
    if (reading_.in_flight()) return;
    reading_.become(std::array{opcode::recv, opcode::read, opcode::receive}[chosen_.below(3)]);
    const bool lent = reading_.code == opcode::receive;
    reading_.fd = ends_.near.get();
    reading_.data = lent ? nullptr : in_memory_.data();
    reading_.length = lent ? 0 : static_cast<std::uint32_t>(chosen_.size_up_to(memory_size));
    reading_.multishot = lent && chosen_.below(2) == 1;
    // With both flags the kernel loses the end of stream of Unix sockets, so they are not combined
    // there.
    const bool may_poll = reading_.code != opcode::read && (is_tcp_ || !reading_.multishot);
    reading_.poll_first = may_poll && chosen_.below(4) == 1;
    reading_.start_on(engine_);
  }
  void start_writing() {
    if (writing_.in_flight()) return;
    writing_.become(chosen_.below(2) == 1 ? opcode::send : opcode::write);
    writing_.fd = ends_.near.get();
    writing_.data = out_memory_.data();
    const std::size_t size = chosen_.size_up_to(memory_size);
    writing_.length = static_cast<std::uint32_t>(size);
    out_.write(std::span(out_memory_).first(size));
    writing_.start_on(engine_);
  }
  void start_polling() {
    if (polling_.in_flight()) return;
    polling_.fd = ends_.near.get();
    polling_.poll.events = chosen_.below(2) == 1 ? POLLIN : POLLIN | POLLRDHUP;
    polling_.multishot = chosen_.below(2) == 1;
    polling_.start_on(engine_);
  }
  void was_read(const completion& done) {
    if (done.buffer != completion::no_buffer) {
      const auto size = static_cast<std::uint32_t>(std::max(0, done.result));
      buffer lease = engine_.buffers().lend(done.buffer, size);
      in_.was_read(lease.bytes());
      if (chosen_.below(2) == 1) held_.push_back(std::move(lease));
    } else if (done.result > 0) {
      demand(static_cast<std::uint32_t>(done.result) <= reading_.length, "a read keeps its size");
      in_.was_read(std::span(in_memory_).first(static_cast<std::size_t>(done.result)));
    } else if (done.result == 0) {
      demand(ended_ || reset_, "0 bytes are the end of the stream");
    } else if (done.result == -ENOBUFS) {
      demand(reading_.code == opcode::receive, "only what needs a buffer finds none");
    } else {
      check_error(done.result, reading_);
    }
  }
  void was_written(const completion& done) {
    demand(done.result != 0, "a write writes something");
    if (done.result < 0) return check_error(done.result, writing_);
    demand(static_cast<std::uint32_t>(done.result) <= writing_.length, "a write keeps its size");
    out_.was_written(static_cast<std::size_t>(done.result));
  }
  void was_polled(const completion& done) {
    demand(done.result != 0, "a poll tells what has happened");
    if (done.result < 0) check_error(done.result, polling_);
  }
  void check_error(std::int32_t error, const operation& op) const {
    if (error == -ECANCELED) {
      return demand(op.cancel_requested(), "only what was cancelled ends as cancelled");
    }
    demand(reset_, "the stream of a peer that lives does not fail");
  }

  void far_writes() {
    if (ended_ || reset_) return;
    std::array<std::byte, memory_size> memory;
    const auto piece = std::span(memory).first(chosen_.size_up_to(memory_size));
    in_.write(piece);
    const ssize_t count = ::send(ends_.far.get(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (count > 0) in_.was_written(static_cast<std::size_t>(count));
  }
  void far_reads() {
    if (reset_) return;
    std::array<std::byte, 2 * memory_size> memory;
    const std::size_t size = chosen_.size_up_to(memory.size());
    const ssize_t count = ::recv(ends_.far.get(), memory.data(), size, MSG_DONTWAIT);
    if (count > 0) out_.was_read(std::span(memory).first(static_cast<std::size_t>(count)));
  }
  void far_ends() {
    if (!reset_) ::shutdown(ends_.far.get(), SHUT_WR);
    ended_ = true;
  }
  void far_resets() {
    if (chosen_.below(4) != 1) return;
    ends_.far.reset();
    reset_ = true;
  }
  static void read_the_rest(const unique_fd& fd, byte_stream& stream) {
    std::array<std::byte, memory_size> memory;
    while (!stream.is_empty()) {
      pollfd asked{fd.get(), POLLIN, 0};
      ::poll(&asked, 1, patience / 1'000'000);
      const ssize_t count = ::recv(fd.get(), memory.data(), memory.size(), MSG_DONTWAIT);
      demand(count > 0, "success wins: no byte is lost");
      stream.was_read(std::span(memory).first(static_cast<std::size_t>(count)));
    }
    const ssize_t more = ::recv(fd.get(), memory.data(), memory.size(), MSG_DONTWAIT);
    demand(more <= 0, "no byte is written twice");
  }

  engine& engine_;
  choices& chosen_;
  bool kept_;
  bool is_tcp_;
  bool ended_ = false;  // the far end stops writing
  bool reset_ = false;  // the far end is closed
  fd_pair ends_;
  byte_stream in_;
  byte_stream out_;
  std::vector<buffer> held_;
  std::array<std::byte, memory_size> in_memory_{};
  std::array<std::byte, memory_size> out_memory_{};
  checked_operation reading_{*this, opcode::recv, &connection::was_read};
  checked_operation writing_{*this, opcode::send, &connection::was_written};
  checked_operation polling_{*this, opcode::poll, &connection::was_polled};
};

void checked_operation::completed(operation& op, const completion& done) noexcept {
  auto& self = static_cast<checked_operation&>(op);
  demand(self.starts == self.finals + 1, "nothing comes after the final completion");
  demand(done.more == self.in_flight(), "done means that the final completion was dispatched");
  demand(!done.more || self.multishot, "only a multishot operation completes again");
  if (!done.more) ++self.finals;
  (self.owner.*self.tell)(done);
}

// Cancels everything in flight. Reading may make room for what was written.
void end(extend::engine& engine, std::span<const std::unique_ptr<connection>> all) {
  for (const auto& one : all) one->cancel();
  const steady_ns deadline = engine.now() + patience;
  const auto in_flight = [](const auto& one) { return one->in_flight(); };
  while (std::any_of(all.begin(), all.end(), in_flight)) {
    turn(engine, deadline);
    engine.run_posted();
    demand(engine.now() < deadline, "no cancellation is dropped");
  }
  for (const auto& one : all) one->check();
}

void tell(extend::engine& engine, choices chosen) {
  constexpr std::array<std::size_t, 4> batches{256, 1, 2, 8};
  constexpr std::size_t connections = 3;
  std::vector<std::unique_ptr<connection>> all;
  for (std::size_t i = 0; i < connections; ++i) {
    all.push_back(std::make_unique<connection>(engine, chosen));
  }
  while (chosen.are_left()) {
    const std::size_t what = chosen.below(8);
    if (what < 5) {
      all[what % connections]->step();
    } else if (what < 7) {
      turn(engine, 0, batches[chosen.below(batches.size())]);
      engine.run_posted();
    } else {
      // Reuses an old number for a new connection.
      auto& one = all[chosen.below(connections)];
      end(engine, std::span(&one, 1));
      one = nullptr;
      one = std::make_unique<connection>(engine, chosen);
    }
  }
  end(engine, all);
  all.clear();
  demand(engine.in_flight() == 0, "when all has ended nothing is in flight");
  demand(engine.buffers_free() == engine.buffers().count(), "each buffer comes back");
}

// Created once, because creating a ring takes longer than an input.
const std::vector<std::unique_ptr<extend::engine>>& engines() {
  static const std::vector<std::unique_ptr<extend::engine>> all = [] {
    ::signal(SIGPIPE, SIG_IGN);
    const char* const named = std::getenv("RINGLET_ENGINE");
    const std::string_view wanted = named == nullptr ? "" : named;
    std::vector<std::unique_ptr<extend::engine>> made;
    if (wanted != "uring") made.push_back(make_epoll_engine(small));
    try {
      if (wanted != "epoll") made.push_back(make_uring_engine(small));
    } catch (const std::system_error& error) {
      std::fprintf(stderr, "skipped: uring: %s\n", error.what());
    }
    return made;
  }();
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const auto& engine : engines()) tell(*engine, choices(std::span(data, size)));
  return 0;
}
