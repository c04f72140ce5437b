// What engines remember about descriptors between two operations, and must forget: edges between
// reads, writers that are drained in steps, closed and reused numbers, files that live on.
//
// Method: every case runs on descriptors that are registered and on ones that are not
// (engine::register_fd()), because an edge-triggered engine treats them differently.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "support/bytes.hpp"
#include "support/engines.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

// A read of one descriptor that can be repeated.
class reader {
 public:
  reader(extend::engine& engine, int fd, opcode kind = opcode::recv)
      : op(kind, fd, std::span<std::byte>(memory_)), engine_(engine) {}

  reader& start() {
    engine_.start(op);
    return *this;
  }
  // The bytes, or the error in words.
  std::string finish() {
    test::finish(engine_, op);
    if (op.answer < 0) return "error " + std::to_string(-op.answer);
    return std::string(text(memory_, static_cast<std::size_t>(op.answer)));
  }
  std::string read() { return start().finish(); }
  // Reads `size` bytes, in as many reads as needed.
  std::string read_exactly(std::size_t size) {
    std::string all;
    while (all.size() < size) {
      const std::string piece = read();
      if (op.answer <= 0) return all + " then " + piece;
      all += piece;
    }
    return all;
  }

 private:
  std::array<std::byte, 64> memory_{};

 public:
  watched op;

 private:
  engine& engine_;
};

using case_body = std::function<void(engine&, fd_pair&)>;

struct kind_of_pair {
  const char* name;
  fd_pair (*make)();
};
constexpr kind_of_pair socket_kinds[] = {{"Unix", &socket_pair}, {"TCP", &tcp_pair}};
constexpr kind_of_pair all_kinds[] = {
    {"Unix", &socket_pair}, {"TCP", &tcp_pair}, {"pipe", &pipe_pair}};

// With `near` registered and not registered, on each kind of descriptor.
void for_each_pair(std::span<const kind_of_pair> kinds, const case_body& body) {
  for_each_kernel_engine([&](const engine_maker& make) {
    const auto engine = make();
    for (const kind_of_pair& kind : kinds) {
      for (const bool kept : {false, true}) {
        INFO(kind.name, ", kept: ", kept);
        fd_pair pair = kind.make();
        const int number = pair.near.get();
        if (kept) engine->register_fd(number);
        body(*engine, pair);
        engine->unregister_fd(number);
        CHECK(engine->in_flight() == 0);
      }
    }
  });
}

// Waits until the peer's bytes, or the end of its stream, have arrived.
void wait_readable(const unique_fd& fd, short events = POLLIN) {
  pollfd asked{fd.get(), events, 0};
  REQUIRE(::poll(&asked, 1, -1) == 1);
}

// Duplicates a file to another free number.
void move_to(unique_fd& fd, int number) {
  if (fd.get() == number) return;
  REQUIRE(::dup3(fd.get(), number, O_CLOEXEC) == number);
  fd.reset(number);
}

opcode read_of(const unique_fd& fd) {
  int type = 0;
  socklen_t size = sizeof type;
  const bool is_socket = ::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0;
  return is_socket ? opcode::recv : opcode::read;
}

void put_with_descriptor(const unique_fd& to, std::string_view text, int passed) {
  iovec piece{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof passed)> control{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof passed);
  std::memcpy(CMSG_DATA(header), &passed, sizeof passed);
  REQUIRE(::sendmsg(to.get(), &message, 0) == static_cast<ssize_t>(text.size()));
}

void close_by_reset(unique_fd& fd) {
  const linger at_once{1, 0};
  REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
  fd.reset();
}

}  // namespace

TEST_SUITE_BEGIN("conformance: edges");

TEST_CASE("bytes that arrive before, between and after reads are all read, in order") {
  for_each_pair(all_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get(), read_of(pair.near));
    put(pair.far, "before");
    CHECK(in.read() == "before");
    put(pair.far, "between");
    wait_readable(pair.near);
    CHECK(in.read() == "between");
    in.start();
    turn(engine);
    put(pair.far, "after");
    CHECK(in.finish() == "after");
    in.start();
    put(pair.far, "start");
    CHECK(in.finish() == "start");
  });
}

TEST_CASE("bytes that arrive while no read waits, with turns between, wake the next read") {
  for_each_pair(all_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get(), read_of(pair.near));
    in.start();
    turn(engine);
    put(pair.far, "a");
    CHECK(in.finish() == "a");
    for (int round = 0; round < 3; ++round) {
      put(pair.far, "b");
      wait_readable(pair.near);
      turn(engine);  // an edge while no read waits
      CHECK(in.read() == "b");
      turn(engine);
      in.start();
      turn(engine);
      turn(engine);
      put(pair.far, "c");
      CHECK(in.finish() == "c");
    }
  });
}

TEST_CASE("a read after a short read waits and is woken") {
  for_each_pair(all_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get(), read_of(pair.near));
    in.start();
    turn(engine);
    for (int round = 0; round < 20; ++round) {
      put(pair.far, "short");
      CHECK(in.finish() == "short");
      in.start();
      if (round % 2 == 0) turn(engine);
      CHECK(in.op.in_flight());
    }
    engine.cancel(in.op);
    in.finish();
  });
}

TEST_CASE("a read after a full read finds the rest") {
  for_each_pair(all_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get(), read_of(pair.near));
    const std::string sent = pattern(1000);
    in.start();
    turn(engine);
    put(pair.far, sent);
    std::string got = in.finish();
    got += in.read_exactly(sent.size() - got.size());
    CHECK(got == sent);
  });
}

TEST_CASE("an end of stream directly after the last bytes is read, whenever it arrives") {
  for_each_pair(all_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get(), read_of(pair.near));
    in.start();
    turn(engine);
    put(pair.far, "first");
    CHECK(in.finish() == "first");
    put(pair.far, "last");
    pair.far.reset();
    CHECK(in.read() == "last");
    CHECK(in.read().empty());
    CHECK(in.read().empty());
  });
}

TEST_CASE(
    "bytes and an end of stream that arrive together during a read are read one after the other") {
  for_each_pair(socket_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get());
    in.start();
    turn(engine);
    put(pair.far, "last");
    ::shutdown(pair.far.get(), SHUT_WR);
    wait_readable(pair.near, POLLRDHUP);
    CHECK(in.finish() == "last");
    turn(engine);
    CHECK(in.read().empty());
    // The other direction still works.
    put(pair.near, "answer");
    wait_readable(pair.far);
    CHECK(drain(pair.far) == "answer");
  });
}

TEST_CASE(
    "an end of stream that arrives between the turn that saw the bytes and the next read is seen") {
  for_each_pair(socket_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get());
    in.start();
    turn(engine);
    put(pair.far, "last");
    CHECK(in.finish() == "last");
    in.start();
    turn(engine);
    CHECK(in.op.in_flight());
    ::shutdown(pair.far.get(), SHUT_WR);
    CHECK(in.finish().empty());
  });
}

// The receive stops at the mark and returns fewer bytes; more bytes follow the mark.
TEST_CASE("bytes behind urgent data are read without waiting for more") {
  for_each_pair(std::span(socket_kinds).last(1), [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get());
    in.start();
    turn(engine);
    put(pair.far, "x");
    CHECK(in.finish() == "x");
    put(pair.far, "before");
    REQUIRE(::send(pair.far.get(), "!", 1, MSG_OOB) == 1);
    put(pair.far, "behind");
    wait_readable(pair.near, POLLPRI);
    CHECK(in.read_exactly(6) == "before");
    CHECK(in.read_exactly(6) == "behind");
  });
}

TEST_CASE("peeked bytes are read without waiting for more") {
  for_each_pair(socket_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get());
    in.start();
    turn(engine);
    put(pair.far, "x");
    CHECK(in.finish() == "x");
    put(pair.far, "abc");
    in.op.transfer.flags = MSG_PEEK;
    CHECK(in.read() == "abc");
    CHECK(in.read() == "abc");
    in.op.transfer.flags = 0;
    CHECK(in.read() == "abc");
  });
}

// A receive on a Unix socket stops where a descriptor was passed.
TEST_CASE("bytes behind a passed descriptor are read without waiting for more") {
  for_each_pair(std::span(socket_kinds).first(1), [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get());
    in.start();
    turn(engine);
    put(pair.far, "x");
    CHECK(in.finish() == "x");
    const std::size_t before = count_open_descriptors();
    put_with_descriptor(pair.far, "abc", pair.far.get());
    put(pair.far, "def");
    wait_readable(pair.near);
    CHECK(in.read_exactly(6) == "abcdef");
    CHECK(count_open_descriptors() == before);
  });
}

TEST_CASE("a reset wakes the reader and the writer, and both get the error") {
  for_each_pair(std::span(socket_kinds).last(1), [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get());
    fill(pair.near);
    watched out(opcode::send, pair.near.get(), bytes("abc"));
    in.start();
    engine.start(out);
    turn(engine);
    CHECK(in.op.in_flight());
    CHECK(out.in_flight());
    close_by_reset(pair.far);
    finish_all(engine);
    // The socket's error is reported once, to the first operation that asks.
    const bool reader_told = in.op.answer == -ECONNRESET && out.answer == -EPIPE;
    const bool writer_told = in.op.answer == 0 && out.answer == -ECONNRESET;
    CHECK((reader_told || writer_told));
  });
}

TEST_CASE("a reset between two reads is reported by the next one") {
  for_each_pair(std::span(socket_kinds).last(1), [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get());
    put(pair.far, "a");
    CHECK(in.read() == "a");
    close_by_reset(pair.far);
    wait_readable(pair.near, POLLERR);
    turn(engine);
    CHECK(in.read() == "error " + std::to_string(ECONNRESET));
  });
}

TEST_CASE("shutting down our own end wakes our own reader and writer") {
  for_each_pair(socket_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get());
    fill(pair.near);
    watched out(opcode::send, pair.near.get(), bytes("abc"));
    in.start();
    engine.start(out);
    turn(engine);
    watched down(opcode::shutdown, pair.near.get());
    down.shutdown.how = SHUT_RDWR;
    CHECK(engine.call(down) == 0);
    finish_all(engine);
    CHECK(in.op.answer == 0);
    CHECK(out.answer == -EPIPE);
  });
}

TEST_CASE("a writer that is drained in several steps writes everything in order") {
  for_each_pair(socket_kinds, [](extend::engine& engine, fd_pair& pair) {
    const std::string sent = pattern(2'000'000);
    std::string got;
    std::size_t written = 0;
    watched out(opcode::send, pair.near.get());
    while (written < sent.size()) {
      const std::string_view rest = std::string_view(sent).substr(written);
      out.data = const_cast<char*>(rest.data());
      out.length = static_cast<std::uint32_t>(rest.size());
      engine.start(out);
      while (out.in_flight()) {
        if (turn(engine) == 0) {
          // A little at a time: first too little to make the socket writable, then enough.
          std::array<char, 5000> piece;
          const ssize_t count = ::recv(pair.far.get(), piece.data(), piece.size(), MSG_DONTWAIT);
          if (count > 0) got.append(piece.data(), static_cast<std::size_t>(count));
        }
      }
      REQUIRE(out.answer > 0);
      written += static_cast<std::size_t>(out.answer);
    }
    ::shutdown(pair.near.get(), SHUT_WR);
    for (std::array<char, 5000> piece;;) {
      const ssize_t count = ::recv(pair.far.get(), piece.data(), piece.size(), 0);
      if (count <= 0) break;
      got.append(piece.data(), static_cast<std::size_t>(count));
    }
    CHECK(got == sent);
  });
}

TEST_CASE("a reader and a writer on one descriptor do not disturb each other") {
  for_each_pair(socket_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get());
    fill(pair.near);
    watched out(opcode::send, pair.near.get(), bytes("abc"));
    engine.start(out);
    in.start();
    for (int round = 0; round < 5; ++round) {
      turn(engine);
      CHECK(out.in_flight());
      put(pair.far, "x");
      CHECK(in.finish() == "x");
      in.start();
    }
    while (out.in_flight()) {
      drain(pair.far);
      turn(engine);
    }
    CHECK(out.answer == 3);
    CHECK(in.op.in_flight());
    engine.cancel(in.op);
    CHECK(in.finish() == "error " + std::to_string(ECANCELED));
  });
}

TEST_CASE("cancelling the reader leaves the writer waiting, and the reverse") {
  for_each_pair(socket_kinds, [](extend::engine& engine, fd_pair& pair) {
    for (const bool reader_goes : {true, false}) {
      reader in(engine, pair.near.get());
      fill(pair.near);
      watched out(opcode::send, pair.near.get(), bytes("abc"));
      in.start();
      engine.start(out);
      turn(engine);
      operation& goes = reader_goes ? static_cast<operation&>(in.op) : out;
      operation& stays = reader_goes ? static_cast<operation&>(out) : in.op;
      engine.cancel(goes);
      finish(engine, goes);
      CHECK(goes.answer == -ECANCELED);
      turn(engine);
      CHECK(stays.in_flight());
      put(pair.far, "x");
      while (stays.in_flight()) {
        drain(pair.far);
        turn(engine);
      }
      CHECK(stays.answer == (reader_goes ? 3 : 1));
      if (reader_goes) CHECK(in.read() == "x");
      while (!drain(pair.far).empty()) {
      }
    }
  });
}

TEST_CASE("two reads and a poll for output on one descriptor all complete") {
  for_each_pair(socket_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader one(engine, pair.near.get()), two(engine, pair.near.get());
    // Not a poll for input: whether such a poll reports bytes that a read has taken is unspecified.
    watched out(opcode::poll, pair.near.get());
    out.poll.events = POLLOUT;
    engine.start(out);
    one.start();
    two.start();
    finish(engine, out);
    CHECK(one.op.in_flight());
    CHECK(two.op.in_flight());
    put(pair.far, "x");
    while (one.op.in_flight() && two.op.in_flight()) turn(engine, never);
    put(pair.far, "y");
    finish_all(engine);
    CHECK(one.op.answer == 1);
    CHECK(two.op.answer == 1);
    CHECK((out.answer & POLLOUT) != 0);
  });
}

TEST_CASE("a poll that finds nothing does not block a read or a write") {
  for_each_pair(socket_kinds, [](extend::engine& engine, fd_pair& pair) {
    constexpr int turns_max = 10;
    for (const int events : {POLLIN, POLLRDHUP, POLLPRI}) {
      INFO("events: ", events);
      watched asking(opcode::poll, pair.near.get());
      asking.poll.events = events;
      engine.start(asking);
      for (int i = 0; i < 3; ++i) turn(engine);
      watched out(opcode::send, pair.near.get(), bytes("abc"));
      engine.start(out);
      for (int i = 0; i < turns_max && out.in_flight(); ++i) turn(engine);
      CHECK(out.answer == 3);
      drain(pair.far);
      reader in(engine, pair.near.get());
      for (int round = 0; round < 3; ++round) {
        in.start();
        turn(engine);
        put(pair.far, "x");
        wait_readable(pair.near);
        for (int i = 0; i < turns_max && in.op.in_flight(); ++i) turn(engine);
        REQUIRE_FALSE(in.op.in_flight());
        CHECK(in.op.answer == 1);
      }
      for (operation* left : {&asking, &out, &in.op}) {
        if (left->in_flight()) engine.cancel(*left);
        finish(engine, *left);
      }
    }
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("conformance: descriptors that are closed");

TEST_CASE(
    "a descriptor number that is reused at once gets no events and no state of the old file") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (const bool kept : {false, true}) {
      for (const kind_of_pair& kind : socket_kinds) {
        INFO(kind.name, ", kept: ", kept);
        fd_pair old = kind.make();
        const int number = old.near.get();
        if (kept) engine->register_fd(number);
        reader in(*engine, number);
        in.start();
        turn(*engine);
        put(old.far, "old");
        CHECK(in.finish() == "old");
        in.start();
        turn(*engine);
        put(old.far, "more");  // its edge is on the way
        engine->cancel(in.op);
        in.finish();
        if (kept) {
          watched close(opcode::close, old.near.release());
          CHECK(engine->call(close) == 0);
        } else {
          old.near.reset();
        }
        fd_pair fresh = kind.make();
        if (fresh.far.get() == number) std::swap(fresh.near, fresh.far);
        move_to(fresh.near, number);
        if (kept) engine->register_fd(number);
        put(fresh.far, "fresh");
        CHECK(in.read() == "fresh");
        in.start();
        old.far.reset();
        turn(*engine);
        CHECK(in.op.in_flight());
        put(fresh.far, "again");
        CHECK(in.finish() == "again");
        engine->unregister_fd(number);
      }
    }
  });
}

TEST_CASE(
    "a descriptor that is not registered may be closed, and its number reused for another kind of "
    "file") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    constexpr int number = 200;
    for (int round = 0; round < 3; ++round) {
      for (const kind_of_pair& kind : all_kinds) {
        fd_pair pair = kind.make();
        move_to(pair.near, number);
        reader in(*engine, number, read_of(pair.near));
        in.start();
        if (round != 0) turn(*engine);
        put(pair.far, "abc");
        CHECK(in.finish() == "abc");
        if (round == 2) pair.far.reset();
      }
    }
  });
}

TEST_CASE(
    "closing a registered number forgets its file, although the file stays open under another "
    "number") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (const bool by_call : {true, false}) {
      fd_pair pair = socket_pair();
      const int number = pair.near.get();
      if (by_call) engine->register_fd(number);
      reader in(*engine, number);
      in.start();
      turn(*engine);
      engine->cancel(in.op);
      in.finish();
      const unique_fd twin(::fcntl(number, F_DUPFD_CLOEXEC, 100));
      if (by_call) {
        watched close(opcode::close, pair.near.release());
        CHECK(engine->call(close) == 0);
      } else {
        pair.near.reset();
      }
      const fd_pair fresh = socket_pair();
      REQUIRE(fresh.near.get() == number);
      in.start();
      turn(*engine);
      put(pair.far, "for the twin");
      turn(*engine);
      turn(*engine);
      CHECK(in.op.in_flight());
      put(fresh.far, "fresh");
      CHECK(in.finish() == "fresh");
      reader through_twin(*engine, twin.get());
      CHECK(through_twin.read() == "for the twin");
    }
  });
}

TEST_CASE("two descriptors of one file can both be waited for") {
  for_each_pair(socket_kinds, [](extend::engine& engine, fd_pair& pair) {
    const unique_fd twin(::fcntl(pair.near.get(), F_DUPFD_CLOEXEC, 0));
    reader one(engine, pair.near.get()), two(engine, twin.get());
    one.start();
    two.start();
    turn(engine);
    put(pair.far, "x");
    while (one.op.in_flight() && two.op.in_flight()) turn(engine, never);
    put(pair.far, "y");
    finish_all(engine);
    CHECK(one.op.answer == 1);
    CHECK(two.op.answer == 1);
  });
}

TEST_CASE(
    "a descriptor that a forked child still holds is closed and forgotten in the parent only") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    fd_pair pair = socket_pair();
    const int number = pair.near.get();
    engine->register_fd(number);
    reader in(*engine, number);
    in.start();
    turn(*engine);
    std::array<int, 2> stop{};
    REQUIRE(::pipe2(stop.data(), O_CLOEXEC) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      // Holds the inherited descriptors until it is told to exit.
      ::close(stop[1]);
      char none;
      ::_exit(::read(stop[0], &none, 1) == 0 ? 0 : 1);
    }
    ::close(stop[0]);
    put(pair.far, "ours");
    CHECK(in.finish() == "ours");
    watched close(opcode::close, pair.near.release());
    CHECK(engine->call(close) == 0);
    const fd_pair fresh = socket_pair();
    REQUIRE(fresh.near.get() == number);
    engine->register_fd(number);
    in.start();
    turn(*engine);
    put(pair.far, "the child's");  // the file is still open
    turn(*engine);
    CHECK(in.op.in_flight());
    const std::uint64_t calls = engine->statistics().system_calls;
    turn(*engine);
    CHECK(engine->statistics().system_calls <= calls + 1);
    put(fresh.far, "fresh");
    CHECK(in.finish() == "fresh");
    engine->unregister_fd(number);
    ::close(stop[1]);
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  });
}

// Takes turns until the operation is done, up to a limit.
bool is_soon_done(extend::engine& engine, const operation& op) {
  const steady_ns limit = engine.now() + 10'000'000'000;
  while (op.in_flight() && engine.now() < limit) turn(engine, limit);
  return !op.in_flight();
}

// io_uring polls the file, which lives on; epoll has dropped it.
TEST_CASE("a number that its owner closed during a poll serves the next owner") {
  for_each_kernel_engine([](const engine_maker& make) {
    for (const bool kept : {true, false}) {
      CAPTURE(kept);
      const auto engine = make();
      fd_pair first = socket_pair();
      const fd_pair second = socket_pair();
      const int number = first.near.get();
      watched orphan(opcode::poll, number);
      orphan.poll.events = POLLIN;
      engine->start(orphan);
      turn(*engine);
      REQUIRE(::dup2(second.near.get(), number) == number);  // closes it, and reuses it
      if (kept) engine->register_fd(number);
      watched next(opcode::poll, number);
      next.poll.events = POLLIN;
      std::array<std::byte, 1> memory{};
      watched read(opcode::recv, number, std::span<std::byte>(memory));
      engine->start(kept ? read : next);
      turn(*engine);
      put(second.far, "x");
      CHECK(is_soon_done(*engine, kept ? read : next));
      CHECK((kept ? read : next).answer == 1);
      if (orphan.done()) CHECK(orphan.answer == -EBADF);
      for (watched* op : {&orphan, &next, &read}) engine->cancel(*op);
      finish_all(*engine);
      if (kept) engine->unregister_fd(number);
    }
  });
}

TEST_CASE("a poll continues when the owner of its descriptor registers it") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const fd_pair pair = socket_pair();
    watched poll(opcode::poll, pair.near.get());
    poll.poll.events = POLLIN;
    engine->start(poll);
    turn(*engine);
    engine->register_fd(pair.near.get());
    turn(*engine);
    CHECK(poll.in_flight());
    put(pair.far, "x");
    CHECK(is_soon_done(*engine, poll));
    CHECK(poll.answer == POLLIN);
    engine->unregister_fd(pair.near.get());
  });
}

TEST_CASE("a forgotten descriptor works as if it had never been registered") {
  for_each_pair(socket_kinds, [](extend::engine& engine, fd_pair& pair) {
    reader in(engine, pair.near.get());
    engine.register_fd(pair.near.get());
    in.start();
    turn(engine);
    put(pair.far, "a");
    CHECK(in.finish() == "a");
    engine.unregister_fd(pair.near.get());
    put(pair.far, "b");
    wait_readable(pair.near);
    CHECK(in.read() == "b");
    engine.register_fd(pair.near.get());
    in.start();
    turn(engine);
    put(pair.far, "c");
    CHECK(in.finish() == "c");
  });
}

TEST_SUITE_END();
