// read and write on everything except sockets: regular files, devices, pipes and terminals. No
// engine changes the mode of a descriptor that others share.
//
// Method: calls that could block the engine's thread run in a child with an alarm. Terminals pass
// bytes on with a delay, so cases wait for them with poll(2).
// SPDX-License-Identifier: MIT
#include <ringlet/detail/blocking_pool.hpp>
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/bytes.hpp"
#include "support/child.hpp"
#include "support/engines.hpp"
#include "support/sockets.hpp"
#include "support/terminals.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

unique_fd temporary_file() {
  unique_fd file(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  REQUIRE(file);
  return file;
}

unique_fd device(const char* path) {
  unique_fd file(::open(path, O_RDWR | O_CLOEXEC));
  REQUIRE(file);
  return file;
}

std::int32_t write_one(extend::engine& engine, const unique_fd& to, std::string_view text) {
  watched op(opcode::write, to.get(), bytes(text));
  engine.start(op);
  finish(engine, op);
  CHECK(op.seen.size() == 1);
  return op.answer;
}

std::string read_one(extend::engine& engine, const unique_fd& from) {
  std::array<std::byte, 64> memory{};
  watched op(opcode::read, from.get(), std::span<std::byte>(memory));
  engine.start(op);
  finish(engine, op);
  CHECK(op.seen.size() == 1);
  if (op.answer < 0) return "error " + std::to_string(-op.answer);
  return std::string(text(memory, static_cast<std::size_t>(op.answer)));
}

bool waits(const unique_fd& fd) { return (::fcntl(fd.get(), F_GETFL) & O_NONBLOCK) == 0; }

// Reads from a terminal until `size` bytes have arrived.
std::string read_blocking(const unique_fd& fd, std::size_t size) {
  std::string all;
  std::array<char, 4096> piece;
  while (all.size() < size) {
    const ssize_t count = ::read(fd.get(), piece.data(), piece.size());
    REQUIRE(count > 0);
    all.append(piece.data(), static_cast<std::size_t>(count));
  }
  return all;
}

// Runs the body in a child, which an alarm ends if it blocks.
bool ends_in_time(const std::function<void()>& body) {
  constexpr unsigned seconds = 8;
  const child_end end = run_in_child([&] {
    ::alarm(seconds);
    body();
  });
  if (end.status != 0) {
    std::fprintf(stderr, "status %d, signal %d: %s\n", end.status, end.signal, end.errors.c_str());
  }
  return end.status == 0;
}

void must(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

}  // namespace

TEST_SUITE_BEGIN("conformance: files and terminals");

TEST_CASE("reads and writes of a file continue from the current position") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const unique_fd file(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    REQUIRE(file);
    for (const char* piece : {"abc", "def"}) {
      watched write(opcode::write, file.get(), bytes(piece));
      engine->start(write);
      finish(*engine, write);
      CHECK(write.answer == 3);
    }
    REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
    std::string read_back;
    for (int i = 0; i < 3; ++i) {
      std::array<std::byte, 4> memory{};
      watched read(opcode::read, file.get(), std::span<std::byte>(memory));
      engine->start(read);
      finish(*engine, read);
      REQUIRE(read.answer >= 0);
      read_back += text(memory, static_cast<std::size_t>(read.answer));
    }
    CHECK(read_back == "abcdef");
  });
}

TEST_CASE("a read or write at an offset leaves the current position alone") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const unique_fd file = temporary_file();
    CHECK(write_one(*engine, file, "abcdef") == 6);
    watched write(opcode::write, file.get(), bytes("XY"));
    write.file.offset = 1;
    engine->start(write);
    finish(*engine, write);
    CHECK(write.answer == 2);
    std::array<std::byte, 4> memory{};
    watched read(opcode::read, file.get(), std::span<std::byte>(memory));
    read.file.offset = 0;
    engine->start(read);
    finish(*engine, read);
    CHECK(read.answer == 4);
    CHECK(text(memory, 4) == "aXYd");
    CHECK(::lseek(file.get(), 0, SEEK_CUR) == 6);
    CHECK(write_one(*engine, file, "gh") == 2);
    read.file.offset = 4;
    engine->start(read);
    finish(*engine, read);
    CHECK(text(memory, 4) == "efgh");
  });
}

TEST_CASE("a write at an offset beyond 4 GiB goes to that offset") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    constexpr std::uint64_t far = (std::uint64_t{5} << 30) + 1;
    const unique_fd file = temporary_file();
    watched write(opcode::write, file.get(), bytes("abc"));
    write.file.offset = far;
    engine->start(write);
    finish(*engine, write);
    CHECK(write.answer == 3);
    CHECK(::lseek(file.get(), 0, SEEK_END) == static_cast<off_t>(far) + 3);
  });
}

TEST_CASE("a read at the end of a file returns 0 bytes each time, until there is more to read") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const unique_fd file = temporary_file();
    CHECK(read_one(*engine, file).empty());
    CHECK(read_one(*engine, file).empty());
    REQUIRE(::pwrite(file.get(), "abc", 3, 0) == 3);
    CHECK(read_one(*engine, file) == "abc");
    CHECK(read_one(*engine, file).empty());
  });
}

TEST_CASE("many operations can write and read one file at a time") {
  for_each_kernel_engine([](const engine_maker& make) {
    constexpr std::size_t count = 50;
    const auto engine = make();
    const unique_fd file(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC | O_APPEND, 0600));
    REQUIRE(file);
    std::array<std::unique_ptr<watched>, count> ops;
    for (auto& op : ops) {
      op = std::make_unique<watched>(opcode::write, file.get(), bytes("0123456789"));
      engine->start(*op);
    }
    finish_all(*engine);
    for (const auto& op : ops) CHECK(op->answer == 10);
    struct stat what {};
    REQUIRE(::fstat(file.get(), &what) == 0);
    CHECK(what.st_size == 10 * count);
  });
}

TEST_CASE("a cancelled file operation has either happened or not, and ends once") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (int turns = 0; turns < 3; ++turns) {
      const unique_fd file = temporary_file();
      watched op(opcode::write, file.get(), bytes("abc"));
      engine->start(op);
      for (int i = 0; i < turns; ++i) turn(*engine);
      engine->cancel(op);
      engine->cancel(op);
      finish(*engine, op);
      CHECK(op.seen.size() == 1);
      struct stat what {};
      REQUIRE(::fstat(file.get(), &what) == 0);
      CHECK((op.answer == 3 || op.answer == -ECANCELED));
      CHECK(what.st_size == (op.answer == 3 ? 3 : 0));
    }
  });
}

TEST_CASE("a cancellation after a worker's call does not replace its result on epoll") {
  const auto engine = make_epoll_engine();
  // This device supports neither poll(2) nor non-blocking reads, so a worker makes the call.
  const unique_fd file(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  REQUIRE(file);
  std::array<std::byte, 5> memory{};
  watched op(opcode::read, file.get(), std::span<std::byte>(memory));
  engine->start(op);
  REQUIRE(turn(*engine) == 0);
  while (!engine->has_posted()) std::this_thread::yield();
  engine->cancel(op);
  CHECK(op.in_flight());
  finish(*engine, op);
  CHECK(op.seen.size() == 1);
  CHECK(op.answer == 5);
  CHECK(text(memory) == "Name:");
}

// All workers are busy until the test releases them.
class busy_workers {
 public:
  explicit busy_workers(extend::engine& engine) {
    for (job& one : jobs_) {
      one.workers = this;
      one.owner = &engine;
      one.work = [](blocking_job& made) noexcept {
        busy_workers& all = *static_cast<job&>(made).workers;
        all.busy_.fetch_add(1);
        while (!all.released_) std::this_thread::yield();
      };
      one.run = [](posted_work& made) noexcept {
        ++static_cast<job&>(static_cast<blocking_job&>(made)).workers->finished_;
      };
      blocking_pool::instance().submit(one);
    }
    while (busy_ != jobs_.size()) std::this_thread::yield();
  }
  void release(extend::engine& engine) {
    released_ = true;
    while (finished_ != jobs_.size()) {
      turn(engine, never);
      engine.run_posted();
    }
  }

 private:
  struct job : blocking_job {
    busy_workers* workers;
  };
  std::array<job, blocking_pool::threads_max> jobs_;
  std::atomic<std::size_t> busy_ = 0;
  std::atomic<bool> released_ = false;
  std::size_t finished_ = 0;
};

TEST_CASE("a file read that no worker has begun is cancelled at once on epoll") {
  const auto engine = make_epoll_engine();
  busy_workers workers(*engine);
  const unique_fd file(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  std::array<std::byte, 5> memory{};
  watched op(opcode::read, file.get(), std::span<std::byte>(memory));
  engine->start(op);
  CHECK(turn(*engine) == 0);
  engine->cancel(op);
  CHECK(turn(*engine) == 1);
  CHECK(op.done());
  CHECK(op.answer == -ECANCELED);
  workers.release(*engine);
  finish_all(*engine);
  CHECK(op.seen.size() == 1);
}

TEST_CASE("a descriptor that cannot be read or written reports the error of the system call") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const unique_fd folder(::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK(read_one(*engine, folder) == "error " + std::to_string(EISDIR));
    CHECK(write_one(*engine, folder, "abc") == -EBADF);
    const fd_pair pipe = pipe_pair();
    CHECK(read_one(*engine, pipe.far) == "error " + std::to_string(EBADF));
    CHECK(write_one(*engine, pipe.near, "abc") == -EBADF);
    CHECK(read_one(*engine, unique_fd()) == "error " + std::to_string(EBADF));
  });
}

TEST_CASE("a poll of a file for input or output is ready at once, and any other poll is refused") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const unique_fd file = temporary_file();
    for (const int events : {POLLIN, POLLOUT, POLLIN | POLLOUT | POLLPRI, POLLPRI, 0}) {
      watched op(opcode::poll, file.get());
      op.poll.events = events;
      engine->start(op);
      finish(*engine, op);
      const int ready = events & (POLLIN | POLLOUT);
      CHECK(op.answer == (ready == 0 ? -EINVAL : ready));
    }
  });
}

TEST_CASE("devices that are always ready answer as they should") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const unique_fd null = device("/dev/null"), zero = device("/dev/zero"),
                    full = device("/dev/full");
    CHECK(write_one(*engine, null, "abc") == 3);
    CHECK(read_one(*engine, null).empty());
    CHECK(read_one(*engine, zero) == std::string(64, '\0'));
    CHECK(write_one(*engine, full, "abc") == -ENOSPC);
  });
}

TEST_CASE("a pipe ends the waiting read and all later ones when its last writer closes") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (const bool kept : {false, true}) {
      fd_pair pair = pipe_pair();
      if (kept) engine->register_fd(pair.near.get());
      std::array<std::byte, 16> memory{};
      watched op(opcode::read, pair.near.get(), std::span<std::byte>(memory));
      engine->start(op);
      turn(*engine);
      pair.far.reset();
      finish(*engine, op);
      CHECK(op.answer == 0);
      CHECK(read_one(*engine, pair.near).empty());
      engine->unregister_fd(pair.near.get());
    }
  });
}

TEST_CASE("a full pipe accepts bytes as it is drained, in order") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (const bool kept : {false, true}) {
      const fd_pair pair = pipe_pair();
      if (kept) engine->register_fd(pair.far.get());
      const std::string sent = pattern(300'000);
      std::string got;
      watched op(opcode::write, pair.far.get());
      for (std::size_t written = 0; written < sent.size();) {
        const std::string_view rest = std::string_view(sent).substr(written, 100'000);
        op.data = const_cast<char*>(rest.data());
        op.length = static_cast<std::uint32_t>(rest.size());
        engine->start(op);
        while (op.in_flight()) {
          if (turn(*engine) != 0) continue;
          std::array<char, 3000> piece;
          pollfd asked{pair.near.get(), POLLIN, 0};
          if (::poll(&asked, 1, 0) != 1) continue;
          const ssize_t count = ::read(pair.near.get(), piece.data(), piece.size());
          REQUIRE(count > 0);
          got.append(piece.data(), static_cast<std::size_t>(count));
        }
        REQUIRE(op.answer > 0);
        written += static_cast<std::size_t>(op.answer);
      }
      got += drain(pair.near);
      CHECK(got == sent);
      engine->unregister_fd(pair.far.get());
    }
  });
}

TEST_CASE("a read of a terminal ends when a line is typed, and takes nothing when cancelled") {
  if (lacks_terminals()) return;
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (const bool kept : {false, true}) {
      const fd_pair terminal = terminal_pair();
      if (kept) engine->register_fd(terminal.near.get());
      std::array<std::byte, 16> memory{};
      watched op(opcode::read, terminal.near.get(), std::span<std::byte>(memory));
      for (const bool turned : {false, true}) {
        engine->start(op);
        if (turned) turn(*engine);
        engine->cancel(op);
        finish(*engine, op);
        CHECK(op.answer == -ECANCELED);
      }
      engine->start(op);
      turn(*engine);
      CHECK(op.in_flight());
      put(terminal.far, "abc");
      finish(*engine, op);
      CHECK(text(memory, 3) == "abc");
      put(terminal.far, "def");
      pollfd asked{terminal.near.get(), POLLIN, 0};
      REQUIRE(::poll(&asked, 1, -1) == 1);
      CHECK(read_one(*engine, terminal.near) == "def");
      engine->unregister_fd(terminal.near.get());
    }
  });
}

TEST_CASE("bytes written to a terminal can be read from its other side") {
  if (lacks_terminals()) return;
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const fd_pair terminal = terminal_pair();
    const std::string sent = pattern(1000);
    std::size_t written = 0;
    while (written < sent.size()) {
      const std::int32_t count =
          write_one(*engine, terminal.near, std::string_view(sent).substr(written));
      REQUIRE(count > 0);
      written += static_cast<std::size_t>(count);
    }
    CHECK(read_blocking(terminal.far, sent.size()) == sent);
  });
}

namespace {

// Writes lines to a full terminal, and reads a little of it at each turn.
void write_to_full_terminal(extend::engine& engine, bool raw, std::string_view line) {
  const fd_pair terminal = terminal_pair();
  if (!raw) {
    termios mode{};
    ::tcgetattr(terminal.near.get(), &mode);
    mode.c_oflag |= OPOST | ONLCR;
    ::tcsetattr(terminal.near.get(), TCSANOW, &mode);
  }
  std::string expected(fill(terminal.near), '\0');
  std::string sent;
  while (sent.size() < 4000) sent += line;
  for (const char one : sent) {
    if (one == '\n' && !raw) expected += '\r';
    expected += one;
  }
  std::string got;
  watched op(opcode::write, terminal.near.get());
  const auto read_some = [&](int timeout) {
    pollfd asked{terminal.far.get(), POLLIN, 0};
    if (::poll(&asked, 1, timeout) != 1) return;
    std::array<char, 700> piece;
    const ssize_t count = ::read(terminal.far.get(), piece.data(), piece.size());
    must(count > 0, "nothing came out of the terminal");
    got.append(piece.data(), static_cast<std::size_t>(count));
  };
  for (std::size_t written = 0; written < sent.size();) {
    const std::string_view rest = std::string_view(sent).substr(written);
    op.data = const_cast<char*>(rest.data());
    op.length = static_cast<std::uint32_t>(rest.size());
    engine.start(op);
    while (op.in_flight()) {
      turn(engine);
      engine.run_posted();
      if (op.in_flight()) read_some(0);
    }
    must(op.answer > 0, "a write to a terminal failed");
    written += static_cast<std::size_t>(op.answer);
  }
  while (got.size() < expected.size()) read_some(-1);
  must(got == expected, "the terminal shows something else than was written");
}

}  // namespace

// Terminals account for their room in pages and in characters, and use up both.
TEST_CASE("a full terminal makes the writer wait, but not the engine") {
  if (lacks_terminals()) return;
  for_each_kernel_engine([](const engine_maker& make) {
    if (make.is_rung()) return;
    for (const bool raw : {true, false}) {
      for (const char* const line : {"a line that is neither long nor short\n", "x\n", "\n"}) {
        INFO("raw: ", raw, ", line: ", std::string(line));
        CHECK(ends_in_time([&] {
          const auto engine = make();
          write_to_full_terminal(*engine, raw, line);
        }));
      }
    }
  });
}

TEST_CASE("a write to a full terminal can be cancelled") {
  if (lacks_terminals()) return;
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const fd_pair terminal = terminal_pair();
    watched op(opcode::write, terminal.near.get(), bytes("abc"));
    std::size_t starts = 0;
    // A terminal passes its bytes on with a delay, and then has room again.
    do {
      finish(*engine, op);
      fill(terminal.near);
      engine->start(op);
      ++starts;
      for (int i = 0; i < 3; ++i) turn(*engine);
    } while (!op.in_flight());
    engine->cancel(op);
    finish(*engine, op);
    CHECK((op.answer == -ECANCELED || op.answer == 3));
    CHECK(op.seen.size() == starts);
  });
}

// The kernel worker that makes the call may be about to hand it over to a poll: in that case it was
// told to stop, and still waits.
TEST_CASE("a write to a full terminal can be cancelled while it is being started") {
  if (lacks_terminals()) return;
  for_each_kernel_engine([](const engine_maker& make) {
    if (make.is_rung()) return;
    CHECK(ends_in_time([&] {
      constexpr int attempts = 500;
      const auto engine = make();
      const fd_pair terminal = terminal_pair();
      watched op(opcode::write, terminal.near.get(), bytes("abc"));
      for (int i = 0; i < attempts; ++i) {
        fill(terminal.near);
        engine->start(op);
        turn(*engine);
        engine->cancel(op);
        finish(*engine, op);
        must(op.answer == -ECANCELED || op.answer == 3, "cancelled, or written");
      }
    }));
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("conformance: modes that others share");

TEST_CASE("reads and writes never set O_NONBLOCK, while they wait or afterwards") {
  const bool with_terminal = !lacks_terminals();
  for_each_kernel_engine([with_terminal](const engine_maker& make) {
    const auto engine = make();
    const fd_pair pipe = pipe_pair(), unix = socket_pair(), tcp = tcp_pair(),
                  terminal = with_terminal ? terminal_pair() : fd_pair{};
    for (const fd_pair* pair : {&pipe, &unix, &tcp, &terminal}) {
      if (!pair->near) continue;
      for (const bool kept : {false, true}) {
        if (kept) engine->register_fd(pair->near.get());
        std::array<std::byte, 16> memory{};
        watched in(opcode::read, pair->near.get(), std::span<std::byte>(memory));
        engine->start(in);
        turn(*engine);
        CHECK(waits(pair->near));
        CHECK(write_one(*engine, pair->far, "abc") == 3);
        finish(*engine, in);
        CHECK(in.answer == 3);
        CHECK(waits(pair->near));
        CHECK(waits(pair->far));
        engine->unregister_fd(pair->near.get());
      }
    }
    fill(unix.near);
    watched out(opcode::send, unix.near.get(), bytes("abc"));
    engine->start(out);
    turn(*engine);
    CHECK(waits(unix.near));
    engine->cancel(out);
    finish(*engine, out);
    CHECK(waits(unix.near));
  });
}

TEST_CASE("O_NONBLOCK that is already set stays set, and reads wait all the same") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (const bool kept : {false, true}) {
      const fd_pair pair = socket_pair();
      if (kept) engine->register_fd(pair.near.get());
      REQUIRE(::fcntl(pair.near.get(), F_SETFL, O_RDWR | O_NONBLOCK) == 0);
      std::array<std::byte, 16> memory{};
      watched readable(opcode::poll, pair.near.get());
      readable.poll.events = POLLIN;
      engine->start(readable);
      turn(*engine);
      CHECK(readable.in_flight());
      put(pair.far, "abc");
      finish(*engine, readable);
      watched in(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
      engine->start(in);
      finish(*engine, in);
      CHECK(in.answer == 3);
      CHECK_FALSE(waits(pair.near));
      engine->unregister_fd(pair.near.get());
    }
  });
}

TEST_CASE("a socket is blocking again after a connect, successful, refused or cancelled") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const loopback_listener listener;
    sockaddr_in nobody{};
    {
      const loopback_listener gone;
      nobody = gone.address;
    }
    for (const sockaddr_in& peer : {listener.address, nobody}) {
      for (const bool cancelled : {false, true}) {
        const unique_fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        watched op(opcode::connect, fd.get());
        op.data = const_cast<sockaddr_in*>(&peer);
        op.length = sizeof peer;
        engine->start(op);
        if (cancelled) engine->cancel(op);
        CHECK(waits(fd));
        finish(*engine, op);
        const bool refused = peer.sin_port == nobody.sin_port;
        CHECK(
            (op.answer == (refused ? -ECONNREFUSED : 0) || (cancelled && op.answer == -ECANCELED)));
        CHECK(op.seen.size() == 1);
        CHECK(waits(fd));
      }
    }
  });
}

// The listener's backlog is full, so the loopback device answers nothing.
TEST_CASE("a connect in progress waits, can be cancelled, and leaves the socket blocking") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const loopback_listener listener(0);
    const unique_fd first = connect_to(listener);
    watched op(opcode::connect);
    op.data = const_cast<sockaddr_in*>(&listener.address);
    op.length = sizeof listener.address;
    unique_fd fd;
    std::vector<unique_fd> others;
    do {
      // The system decides how many connections fit a backlog of 0.
      others.push_back(std::move(fd));
      fd = unique_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      op.fd = fd.get();
      engine->start(op);
      turn(*engine);
      turn(*engine);
    } while (!op.in_flight() && others.size() < 16);
    REQUIRE(op.in_flight());
    CHECK(waits(fd));
    engine->cancel(op);
    finish(*engine, op);
    CHECK(op.answer == -ECANCELED);
    CHECK(waits(fd));
  });
}

TEST_SUITE_END();
