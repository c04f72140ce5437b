// copy() and relay() of bulk between sockets: when bytes are spliced instead of copied, and what
// refusals, errors, closes and kills leave.
//
// Method: on a scripted engine that answers splice(2) from two counters, one for the bytes that the
// source has received and one for those that the sink accepts; then with real sockets.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/copy.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/relay.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/unix_stream.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <ostream>
#include <source_location>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/bytes.hpp"
#include "support/checked_bytes.hpp"
#include "support/loopback.hpp"
#include "support/random.hpp"
#include "support/schedulers.hpp"
#include "support/sockets.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("splice");

namespace {

constexpr int source_fd = 7;
constexpr int sink_fd = 8;
constexpr int pipe_end = 20;  // is drained
constexpr int pipe_begin = 21;
constexpr std::uint32_t buffer_size = 64;
constexpr std::uint64_t copied_before = 4 * buffer_size;

// A copy between two streams of a scripted engine.
struct duct {
  explicit duct(scripted_engine& used) : engine(used) {
    engine.on_start = [this](operation& op) {
      // What is copied is written at once.
      if (op.code == opcode::send) engine.complete(op, static_cast<std::int32_t>(op.length));
    };
    engine.answer(opcode::open_pipe, [this](operation& op) {
      if (pipe_error != 0) return -pipe_error;
      static_cast<int*>(op.data)[0] = pipe_end;
      static_cast<int*>(op.data)[1] = pipe_begin;
      ++pipes_made;
      return 0;
    });
    engine.answer(opcode::splice, [this](operation& op) { return answer_splice(op); });
  }

  scripted_engine& engine;
  tcp_stream from{unique_fd(source_fd)};
  tcp_stream to{unique_fd(sink_fd)};
  int pipe_error = 0;
  int read_error = 0;   // of splice(2) from the source
  int write_error = 0;  // of splice(2) to the sink
  std::int32_t arrived = 0;
  std::int32_t accepted = 0;
  std::int32_t in_pipe = 0;
  bool has_ended = false;
  std::size_t pipes_made = 0;

  fiber<std::uint64_t> start(time_limit idle_timeout = forever) {
    return spawn([this, idle_timeout]() -> task<std::uint64_t> {
      const copy_options options{.idle_timeout = idle_timeout};
      co_return co_await copy(from, to, options);
    });
  }
  void deliver(std::size_t size) {
    engine.deliver(engine.oldest(opcode::receive, source_fd), std::string(size, 'x'));
  }
  // Four full buffers, which are copied.
  task<> begin_bulk() {
    for (int i = 0; i < 4; ++i) {
      co_await settle();
      deliver(buffer_size);
    }
    co_await settle();
  }
  bool is_splicing() const { return engine.is_waiting(opcode::poll, source_fd); }
  bool is_draining() const { return engine.is_waiting(opcode::poll, sink_fd); }
  bool has_pipe() const {
    CHECK(engine.closes(pipe_begin) == engine.closes(pipe_end));
    return engine.closes(pipe_end) < pipes_made;
  }
  bool is_copying() const { return engine.is_waiting(opcode::receive, source_fd); }

  // Bytes arrive while the copy waits for them.
  task<> arrive(std::int32_t count) {
    arrived += count;
    engine.complete(engine.oldest(opcode::poll, source_fd), POLLIN);
    co_await settle();
  }
  // The sink accepts bytes while the copy waits for that.
  task<> accept(std::int32_t count) {
    accepted += count;
    engine.complete(engine.oldest(opcode::poll, sink_fd), POLLOUT);
    co_await settle();
  }
  task<std::uint64_t> end(const fiber<std::uint64_t>& copying) {
    deliver(0);
    co_return co_await copying.get();
  }

 private:
  std::int32_t answer_splice(operation& op) {
    const bool fills = op.splice.fills_pipe;
    CHECK(op.fd == (fills ? source_fd : sink_fd));
    CHECK(op.splice.pipe == (fills ? pipe_begin : pipe_end));
    CHECK(has_pipe());
    if (!fills) {
      if (in_pipe == 0) return write_error == EINVAL ? -EINVAL : -EAGAIN;
      if (write_error != 0) return -write_error;
    } else if (read_error != 0) {
      return -read_error;
    }
    std::int32_t& available = fills ? arrived : accepted;
    const std::int32_t wanted = fills ? static_cast<std::int32_t>(op.length) : in_pipe;
    const std::int32_t count = std::min(available, wanted);
    available -= count;
    in_pipe += fills ? count : -count;
    if (count == 0) return fills && has_ended ? 0 : -EAGAIN;
    return count;
  }
};

template <class F>
task<> on_new_duct(scripted_engine& engine, F& body) {
  duct made(engine);
  co_await body(made);
  CHECK_FALSE(made.has_pipe());
}

template <class F>
void on_duct(F body, std::uint32_t buffer_count = 4) {
  scripted_engine engine(buffer_count, buffer_size);
  detail::run_on(engine, beside_main(on_new_duct(engine, body)), {},
                 std::source_location::current());
}

}  // namespace

TEST_CASE("four full buffers in a row begin splicing, and three do not") {
  on_duct([](duct& d) -> task<> {
    const auto copying = d.start();
    for (const std::size_t size : {64U, 64U, 64U, 63U, 64U, 64U, 64U}) {
      co_await settle();
      d.deliver(size);
    }
    co_await settle();
    CHECK_FALSE(d.is_splicing());
    CHECK(d.engine.called(opcode::open_pipe) == 0);
    d.deliver(buffer_size);
    co_await settle();
    CHECK(d.is_splicing());
    CHECK_FALSE(d.is_copying());
    d.accepted = 1000;
    co_await d.arrive(1000);
    CHECK(d.in_pipe == 0);
    CHECK(d.from.bytes_read() == 7 * 64 + 63 + 1000);
    CHECK(d.to.bytes_written() == 7 * 64 + 63 + 1000);
    CHECK(d.is_splicing());
    d.has_ended = true;
    co_await d.arrive(0);
    const std::uint64_t moved = co_await d.end(copying);
    CHECK(moved == 7 * 64 + 63 + 1000);
    CHECK(d.engine.called(opcode::open_pipe) == 1);
  });
}

TEST_CASE("splicing ends after four small pieces in a row, and begins later the next time") {
  on_duct([](duct& d) -> task<> {
    const auto copying = d.start();
    co_await d.begin_bulk();
    d.accepted = 1'000'000;
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 3; ++i) co_await d.arrive(1);
      CHECK(d.is_splicing());
      co_await d.arrive(4 * buffer_size);
    }
    for (int i = 0; i < 4; ++i) {
      CHECK(d.is_splicing());
      co_await d.arrive(4 * buffer_size - 1);
    }
    // Then after 16, 64, 256 and 1,024 full buffers, and never later.
    int buffers = 16;
    for (; buffers <= 1024; buffers *= 4) {
      for (int i = 0; i < buffers; ++i) {
        CHECK(d.is_copying());
        d.deliver(buffer_size);
        co_await settle();
      }
      CHECK(d.is_splicing());
      for (int i = 0; i < 4; ++i) co_await d.arrive(1);
      CHECK(d.is_copying());
    }
    for (int i = 0; i < 1024; ++i) {
      d.deliver(buffer_size);
      co_await settle();
    }
    CHECK(d.is_splicing());
    CHECK(d.engine.called(opcode::open_pipe) == 6);
    co_await copying.kill();
  });
}

TEST_CASE("the pipe is given back when nothing comes for 100 ms") {
  on_duct([](duct& d) -> task<> {
    const auto copying = d.start();
    co_await d.begin_bulk();
    CHECK(d.has_pipe());
    co_await sleep(99ms);
    CHECK(d.is_splicing());
    co_await sleep(1ms);
    co_await settle();
    CHECK(d.is_copying());
    CHECK_FALSE(d.has_pipe());
    const std::uint64_t moved = co_await d.end(copying);
    CHECK(moved == copied_before);
  });
}

TEST_CASE("copy() of bulk ends with timed_out when nothing moves") {
  on_duct([](duct& d) -> task<> {
    const auto silent = d.start(1s);
    co_await d.begin_bulk();
    const steady_ns began = d.engine.now();
    const auto ended = co_await as_result(silent.get());
    CHECK(ended.error() == errc::timed_out);
    CHECK(d.engine.now() - began == 1'100'000'000);
  });
  on_duct([](duct& d) -> task<> {
    const auto stuck = d.start(1s);
    co_await d.begin_bulk();
    co_await d.arrive(1000);
    CHECK(d.is_draining());
    const auto ended = co_await as_result(stuck.get());
    CHECK(ended.error() == errc::timed_out);
    // Nothing of it was written, so the sink is as before.
    co_await d.to.write_all("abc");
  });
}

TEST_CASE("where the system refuses a pipe or splice(2), bytes are copied, and it is asked once") {
  const auto refuse = [](const char* what, auto prepare, bool before_poll) {
    CAPTURE(what);
    on_duct([&](duct& d) -> task<> {
      prepare(d);
      const auto copying = d.start();
      co_await d.begin_bulk();
      if (!before_poll) co_await d.arrive(1000);
      CHECK(d.is_copying());
      const std::size_t calls = d.engine.called(opcode::splice);
      co_await d.begin_bulk();
      CHECK(d.is_copying());
      CHECK(d.engine.called(opcode::open_pipe) == 1);
      CHECK(d.engine.called(opcode::splice) == calls);
      const std::uint64_t moved = co_await d.end(copying);
      CHECK(moved == 2 * copied_before);
    });
  };
  refuse(
      "no descriptors", [](duct& d) { d.pipe_error = EMFILE; }, true);
  refuse(
      "no splice to the sink", [](duct& d) { d.write_error = EINVAL; }, true);
  for (const int error : {EPERM, EACCES, ENOSYS, EINVAL, EOPNOTSUPP, ENOMEM}) {
    CAPTURE(error);
    refuse(
        "no splice from the source", [error](duct& d) { d.read_error = error; }, false);
  }
}

TEST_CASE("what receive() has to report ends splicing, and receive() reports it") {
  on_duct([](duct& d) -> task<> {
    const auto copying = d.start();
    co_await d.begin_bulk();
    // Readable, and nothing that can be spliced: urgent data, for instance.
    co_await d.arrive(0);
    CHECK(d.is_copying());
    co_await d.begin_bulk();
    CHECK(d.is_splicing());
    d.read_error = ECONNRESET;
    d.engine.complete(d.engine.oldest(opcode::poll, source_fd), POLLIN | POLLERR);
    const auto ended = co_await as_result(copying.get());
    CHECK(ended.error() == std::errc::connection_reset);
    CHECK_FALSE(d.is_copying());
  });
}

TEST_CASE("a full sink is waited for, and accepts the bytes in any number of pieces") {
  on_duct([](duct& d) -> task<> {
    const auto copying = d.start();
    co_await d.begin_bulk();
    d.accepted = 1;
    co_await d.arrive(100);
    for (int left = 99; left > 0; left -= 33) {
      CHECK(d.in_pipe == left);
      CHECK(d.to.bytes_written() == copied_before + 100 - static_cast<unsigned>(left));
      CHECK(d.is_draining());
      CHECK_FALSE(d.is_splicing());
      co_await d.accept(0);  // a false alarm
      CHECK(d.is_draining());
      co_await d.accept(33);
    }
    CHECK(d.is_splicing());
    d.has_ended = true;
    co_await d.arrive(0);
    const std::uint64_t moved = co_await d.end(copying);
    CHECK(moved == copied_before + 100);
  });
}

TEST_CASE("a sink that fails ends copy() with its error") {
  for (const bool at_once : {true, false}) {
    CAPTURE(at_once);
    on_duct([&](duct& d) -> task<> {
      const auto copying = d.start();
      co_await d.begin_bulk();
      if (at_once) d.write_error = EPIPE;
      co_await d.arrive(100);
      if (!at_once) {
        d.write_error = EPIPE;
        co_await d.accept(0);
      }
      const auto ended = co_await as_result(copying.get());
      CHECK(ended.error() == std::errc::broken_pipe);
    });
  }
}

TEST_CASE("copy() that is killed while it waits for bytes to splice has taken none") {
  for (const bool has_arrived : {false, true}) {
    CAPTURE(has_arrived);
    on_duct([&](duct& d) -> task<> {
      const auto copying = d.start();
      co_await d.begin_bulk();
      if (has_arrived) {
        d.arrived = 100;
        d.engine.complete(d.engine.oldest(opcode::poll, source_fd), POLLIN);
      }
      co_await copying.kill();
      CHECK(copying.result() == outcome::cancelled);
      CHECK(d.in_pipe == 0);
      CHECK(d.from.bytes_read() == copied_before);
      const auto reading = spawn([&]() -> task<> { co_await d.from.receive(); });
      co_await settle();
      d.deliver(3);
      co_await reading.get();
      co_await d.to.write_all("abc");
    });
  }
}

TEST_CASE("copy() that is killed while the sink is full loses what is in the pipe") {
  on_duct([](duct& d) -> task<> {
    const auto copying = d.start();
    co_await d.begin_bulk();
    co_await d.arrive(100);
    co_await copying.kill();
    CHECK(d.from.bytes_read() == copied_before + 100);
    CHECK(d.to.bytes_written() == copied_before);
    co_await d.to.write_all("abc");  // none of it was written
  });
  // Some of it was written: at the first try, after a wait, and at the moment of the kill.
  for (const int phase : {0, 1, 2}) {
    CAPTURE(phase);
    on_duct([&](duct& d) -> task<> {
      const auto copying = d.start();
      co_await d.begin_bulk();
      d.accepted = phase == 0 ? 1 : 0;
      co_await d.arrive(100);
      if (phase == 1) co_await d.accept(1);
      if (phase == 2) {
        d.accepted = 1;
        d.engine.complete(d.engine.oldest(opcode::poll, sink_fd), POLLOUT);
      }
      co_await copying.kill();
      CHECK(d.to.bytes_written() == copied_before + 1);
      const auto cut = co_await as_result(d.to.write_all("x"));
      CHECK(cut.error() == errc::partial_transfer);
    });
  }
}

TEST_CASE("closing either side ends copy() of bulk with errc::closed") {
  for (const bool closes_source : {true, false}) {
    for (const bool is_full : {false, true}) {
      CAPTURE(closes_source);
      CAPTURE(is_full);
      on_duct([&](duct& d) -> task<> {
        const auto copying = d.start();
        co_await d.begin_bulk();
        if (is_full) co_await d.arrive(100);
        tcp_stream& closed = closes_source ? d.from : d.to;
        co_await closed.close();
        co_await settle();
        if (!closes_source && !is_full) {
          d.accepted = 100;
          co_await d.arrive(100);
        } else if (closes_source && is_full) {
          co_await d.accept(100);
        }
        const auto ended = co_await as_result(copying.get());
        CHECK(ended.error() == errc::closed);
      });
    }
  }
}

TEST_CASE("what a request in flight still receives comes before what is spliced") {
  const auto body = [](duct& d) -> task<> {
    const auto copying = d.start();
    co_await settle();
    d.deliver(buffer_size);
    for (int i = 0; i < 3; ++i) {
      co_await settle();
      d.deliver(buffer_size);
    }
    // The four full buffers are there, but the request would accept another one.
    co_await settle();
    CHECK(d.to.bytes_written() == copied_before);
    CHECK(d.is_copying());
    d.deliver(buffer_size);
    co_await settle();
    CHECK(d.to.bytes_written() == copied_before + buffer_size);
    CHECK(d.is_splicing());
    co_await copying.kill();
  };
  on_duct(body, 64);
}

TEST_CASE("a stream that resets when it is closed is copied") {
  on_duct([](duct& d) -> task<> {
    d.from.set_reset_on_close(true);
    const auto copying = d.start();
    co_await d.begin_bulk();
    CHECK(d.is_copying());
    CHECK(d.engine.called(opcode::splice) == 0);
    const std::uint64_t moved = co_await d.end(copying);
    CHECK(moved == copied_before);
  });
}

namespace {

bool is_nonblocking(const auto& stream) {
  return (::fcntl(stream.native_handle(), F_GETFL) & O_NONBLOCK) != 0;
}

std::size_t open_pipes() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code closed_since;
    const auto target = std::filesystem::read_symlink(entry.path(), closed_since);
    if (target.string().starts_with("pipe:")) ++count;
  }
  return count;
}

// Writes the stream of checked bytes in random pieces until it is told to stop.
template <class Sink>
task<std::uint64_t> write_random(Sink& to, std::uint64_t seed, std::uint64_t most) {
  random_numbers random(seed);
  std::uint64_t written = 0;
  while (written < most) {
    const std::size_t piece_max = random.once_in(3) ? 300'000 : 2'000;
    const std::size_t size = 1 + random.below(piece_max);
    co_await to.write_all(bytes_from(written, size));
    written += size;
    if (random.once_in(4)) co_await settle();
  }
  to.shutdown_write();
  co_return written;
}

// Reads it in random pieces, at times slowly. Returns how many bytes came, if all are right.
template <class Source>
task<std::uint64_t> read_random(Source& from, std::uint64_t seed) {
  random_numbers random(seed);
  std::vector<std::byte> room(200'000);
  std::uint64_t read = 0;
  for (;;) {
    const std::size_t size = 1 + random.below(random.once_in(2) ? room.size() : 1'000);
    const std::size_t count = co_await from.read_some(std::span(room).first(size));
    if (count == 0) co_return read;
    const bool right = are_bytes_from(read, std::span(room).first(count));
    REQUIRE(right);
    read += count;
    if (random.once_in(4)) co_await settle();
  }
}

struct unix_pair {
  unix_stream near;
  unix_stream far;
};

task<unix_pair> connected_unix_pair() {
  auto [near, far] = unix_stream::pair();
  co_return unix_pair{std::move(near), std::move(far)};
}

template <class First, class Second>
fiber<relayed> start_relay(First& first, Second& second) {
  return spawn([&]() -> task<relayed> { co_return co_await relay(first, second); });
}

// A client, a relay and a server, both of which write and read at random.
template <class Front, class Back>
task<> relay_random(Front front, Back back, std::uint64_t seed) {
  constexpr std::uint64_t most = 3'000'000;
  auto relaying = start_relay(front.far, back.near);
  auto there = spawn([&] { return write_random(front.near, 4 * seed, most); });
  auto back_again = spawn([&] { return write_random(back.far, 4 * seed + 1, most); });
  auto at_server = spawn([&] { return read_random(back.far, 4 * seed + 2); });
  auto at_client = spawn([&] { return read_random(front.near, 4 * seed + 3); });
  const std::uint64_t sent = co_await there.get();
  const std::uint64_t answered = co_await back_again.get();
  const std::uint64_t got = co_await at_server.get();
  const std::uint64_t got_back = co_await at_client.get();
  const relayed moved = co_await relaying.get();
  CHECK(got == sent);
  CHECK(got_back == answered);
  CHECK(moved.there == sent);
  CHECK(moved.back == answered);
  CHECK(front.far.bytes_read() == sent);
  CHECK(back.near.bytes_written() == sent);
  CHECK_FALSE(is_nonblocking(front.far));
  CHECK_FALSE(is_nonblocking(back.near));
}

// Writes without end, until the relay's pipe shows that it splices and the sink is full.
task<> fill_until_spliced(tcp_stream& to, std::size_t pipes_before) {
  const std::string piece = pattern(100'000);
  const auto writing = spawn([&]() -> task<> {
    for (;;) co_await to.write_all(piece);
  });
  while (open_pipes() == pipes_before) co_await settle();
  // The write wait of the relay, in dump(): "splice to".
  while (dump().find("splice to") == std::string::npos) co_await settle();
  co_await writing.kill();
}

}  // namespace

TEST_CASE("random pieces arrive complete and in order, copied and spliced") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    const std::size_t before = open_pipes();
    on_one_scheduler([seed]() -> task<> {
      co_await relay_random(co_await connected_pair(), co_await connected_pair(), seed);
      co_await relay_random(co_await connected_pair(), co_await connected_unix_pair(), seed);
      co_await relay_random(co_await connected_unix_pair(), co_await connected_pair(), seed);
    });
    CHECK(open_pipes() == before);
  }
}

TEST_CASE("between two waits for a full sink, neither socket is left without blocking") {
  on_one_scheduler([]() -> task<> {
    connection front = co_await connected_pair();
    connection back = co_await connected_pair();
    const std::size_t pipes = open_pipes();
    const auto relaying = start_relay(front.far, back.near);
    co_await fill_until_spliced(front.near, pipes);
    CHECK_FALSE(is_nonblocking(front.far));
    CHECK_FALSE(is_nonblocking(back.near));
    // The other direction is not disturbed.
    co_await back.far.write_all("answer");
    const buffer answer = co_await front.near.receive();
    CHECK(answer.text() == "answer");
    co_await relaying.kill();
    CHECK(open_pipes() == pipes);
  });
}

TEST_CASE("a peer that vanishes during bulk is an error, and no SIGPIPE") {
  on_one_scheduler([]() -> task<> {
    connection front = co_await connected_pair();
    connection back = co_await connected_pair();
    const std::size_t pipes = open_pipes();
    const auto relaying = start_relay(front.far, back.near);
    co_await fill_until_spliced(front.near, pipes);
    back.far.abort();
    const auto ended = co_await as_result(relaying.get());
    CHECK(is_disconnect(ended.error()));
    CHECK(open_pipes() == pipes);
  });
}

TEST_CASE("bulk is copied when there are no descriptors for a pipe") {
  on_one_scheduler([]() -> task<> {
    connection front = co_await connected_pair();
    connection back = co_await connected_pair();
    rlimit usual;
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &usual) == 0);
    rlimit none = usual;
    none.rlim_cur = 3;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    const auto relaying = start_relay(front.far, back.near);
    auto writing = spawn([&] { return write_random(front.near, 1, 2'000'000); });
    auto reading = spawn([&] { return read_random(back.far, 2); });
    const std::uint64_t written = co_await writing.get();
    const std::uint64_t read = co_await reading.get();
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &usual) == 0);
    CHECK(read == written);
    back.far.shutdown_write();
    const relayed moved = co_await relaying.get();
    CHECK(moved.there == written);
  });
}

TEST_SUITE_END();
