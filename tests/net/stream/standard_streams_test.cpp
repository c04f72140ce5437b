// standard_stream on pipes, files, terminals and sockets that the program did not create.
//
// Method: each case creates its own descriptors; where they must be 0 and 1, in a child process.
// SPDX-License-Identifier: MIT
#include <ringlet/standard_streams.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/loopback.hpp"
#include "support/outcome.hpp"
#include "support/schedulers.hpp"
#include "support/sockets.hpp"
#include "support/terminals.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Two descriptors: bytes written to the second are read from the first.
struct channel {
  unique_fd out;
  unique_fd in;

  void write(std::string_view text) const {
    REQUIRE(::write(in.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
};

channel new_pipe() {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

channel new_socket_pair() {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

// A terminal in line mode: `out` is the program's side, `in` the keyboard and the screen.
channel new_terminal() {
  unique_fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(master);
  REQUIRE(::grantpt(master.get()) == 0);
  REQUIRE(::unlockpt(master.get()) == 0);
  std::array<char, 128> name{};
  REQUIRE(::ptsname_r(master.get(), name.data(), name.size()) == 0);
  unique_fd slave(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(slave);
  termios mode{};
  REQUIRE(::tcgetattr(slave.get(), &mode) == 0);
  mode.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  REQUIRE(::tcsetattr(slave.get(), TCSANOW, &mode) == 0);
  return {std::move(slave), std::move(master)};
}

std::vector<channel (*)()> makers() {
  std::vector<channel (*)()> all{&new_pipe, &new_socket_pair};
  if (!lacks_terminals()) all.push_back(&new_terminal);
  return all;
}

unique_fd new_file() {
  std::string path = "/tmp/ringlet-test-XXXXXX";
  unique_fd made(::mkostemp(path.data(), O_CLOEXEC));
  REQUIRE(made);
  ::unlink(path.c_str());
  return made;
}

struct line_reader {
  standard_stream stream;
  std::array<std::byte, 64> memory{};

  explicit line_reader(int fd) : stream(fd) {}
  fiber<std::string> reading(time_limit timeout = forever) {
    return spawn(outcome_of([this, timeout] { return stream.read_some(memory, timeout); }));
  }
};

std::uint64_t system_calls() { return current_scheduler().engine().statistics().system_calls; }

}  // namespace

TEST_SUITE_BEGIN("standard_streams");

TEST_CASE("a read waits for bytes on every kind of descriptor") {
  for (const auto make : makers()) {
    on_schedulers([make]() -> task<> {
      const channel one = make();
      line_reader reader(one.out.get());
      const auto fiber = reader.reading();
      co_await sleep(0s);
      CHECK_FALSE(fiber.done());
      one.write("line\n");
      const std::string words = co_await fiber.get();
      CHECK(words == "5 bytes");
      CHECK(text(reader.memory, 5) == "line\n");
    });
  }
}

TEST_CASE("a read that is killed or timed out takes nothing: the next one returns all bytes") {
  for (const auto make : makers()) {
    on_schedulers([make]() -> task<> {
      const channel one = make();
      line_reader reader(one.out.get());
      const auto killed = reader.reading();
      co_await sleep(0s);
      killed.request_kill();
      std::string words = co_await killed.get();
      CHECK(words == "cancelled");
      words = co_await reader.reading(1ms).get();
      CHECK(words == "timed out");
      one.write("line\n");
      words = co_await reader.reading().get();
      CHECK(words == "5 bytes");
    });
  }
}

TEST_CASE("a read at the end of a pipe returns 0 bytes each time") {
  on_schedulers([]() -> task<> {
    channel one = new_pipe();
    one.write("last");
    one.in.reset();
    line_reader reader(one.out.get());
    std::string words = co_await reader.reading().get();
    CHECK(words == "4 bytes");
    for (int i = 0; i < 3; ++i) {
      words = co_await reader.reading().get();
      CHECK(words == "0 bytes");
    }
    words = co_await outcome_of([&] { return reader.stream.read_exact(reader.memory); });
    CHECK(words == "unexpected end of stream");
  });
}

TEST_CASE("Ctrl-D on a terminal is the end of the stream, and a line typed afterwards is read") {
  if (lacks_terminals()) return;
  on_schedulers([]() -> task<> {
    const channel terminal = new_terminal();
    line_reader reader(terminal.out.get());
    terminal.write("one\n\x04two\n");
    std::string words = co_await reader.reading().get();
    CHECK(words == "4 bytes");
    words = co_await reader.reading().get();
    CHECK(words == "0 bytes");
    words = co_await reader.reading().get();
    CHECK(words == "4 bytes");
    CHECK(text(reader.memory, 4) == "two\n");
  });
}

TEST_CASE("bytes written to a terminal appear on its screen") {
  if (lacks_terminals()) return;
  on_schedulers([]() -> task<> {
    const channel terminal = new_terminal();
    standard_stream stream(terminal.out.get());
    co_await stream.write_all("hello\n");
    std::string screen;  // which shows it piece by piece
    while (screen.size() < 7) {
      std::array<char, 16> piece{};
      const ssize_t size = ::read(terminal.in.get(), piece.data(), piece.size());
      REQUIRE(size > 0);
      screen.append(piece.data(), static_cast<std::size_t>(size));
    }
    CHECK(screen == "hello\r\n");
  });
}

TEST_CASE("a file is read and written at its position, and a read at its end returns 0 bytes") {
  on_schedulers([]() -> task<> {
    const unique_fd file = new_file();
    standard_stream stream(file.get());
    const std::string all = pattern(100'000);
    co_await stream.write_all(std::string_view(all).substr(0, 7));
    co_await stream.write_all(std::string_view(all).substr(7));
    CHECK(::lseek(file.get(), 0, SEEK_CUR) == 100'000);
    ::lseek(file.get(), 0, SEEK_SET);
    std::string got(all.size(), '\0');
    std::array<std::byte, 3> first{};
    std::size_t count = co_await stream.read_some(first);
    CHECK(text(first, count) == all.substr(0, 3));
    co_await stream.read_exact(std::as_writable_bytes(std::span(got)).subspan(3));
    CHECK(got.substr(3) == all.substr(3));
    count = co_await stream.read_some(first);
    CHECK(count == 0);
    const std::string words = co_await outcome_of([&] { return stream.read_exact(first); });
    CHECK(words == "unexpected end of stream");
  });
}

TEST_CASE("a full pipe makes the writer wait, and everything arrives in order") {
  on_schedulers([]() -> task<> {
    const channel one = new_pipe();
    standard_stream writer(one.in.get());
    standard_stream reader(one.out.get());
    const std::string all = pattern(1'000'003);
    const auto writing = spawn(outcome_of([&] { return writer.write_all(all); }));
    co_await sleep(0s);
    CHECK_FALSE(writing.done());
    std::string got(all.size(), '\0');
    co_await reader.read_exact(std::as_writable_bytes(std::span(got)));
    CHECK(got == all);
    const std::string words = co_await writing.get();
    CHECK(words == "done");
  });
}

TEST_CASE("a system error is returned unchanged") {
  on_schedulers([]() -> task<> {
    const unique_fd full(::open("/dev/full", O_RDWR | O_CLOEXEC));
    standard_stream writer(full.get());
    std::string words = co_await outcome_of([&] { return writer.write_all("x"); });
    CHECK(words == "No space left on device");
    const unique_fd write_only(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    line_reader reader(write_only.get());
    words = co_await reader.reading().get();
    CHECK(words == "Bad file descriptor");
  });
}

TEST_CASE("a standard stream leaves its descriptor open and O_NONBLOCK as it was") {
  for (const auto make : makers()) {
    on_schedulers([make]() -> task<> {
      for (const int flag : {0, O_NONBLOCK}) {
        const channel one = make();
        const int before = ::fcntl(one.out.get(), F_GETFL) | flag;
        ::fcntl(one.out.get(), F_SETFL, before);
        {
          line_reader reader(one.out.get());
          CHECK(reader.stream.native_handle() == one.out.get());
          one.write("line\n");
          const std::string words = co_await reader.reading().get();
          CHECK(words == "5 bytes");
          CHECK(::fcntl(one.out.get(), F_GETFL) == before);
        }
        CHECK(is_open(one.out.get()));
        CHECK(::fcntl(one.out.get(), F_GETFL) == before);
      }
    });
  }
}

TEST_CASE("reads and writes wait even when O_NONBLOCK is already set") {
  for (const auto make : makers()) {
    on_schedulers([make]() -> task<> {
      const channel one = make();
      ::fcntl(one.out.get(), F_SETFL, ::fcntl(one.out.get(), F_GETFL) | O_NONBLOCK);
      line_reader reader(one.out.get());
      const auto fiber = reader.reading();
      const std::uint64_t before = system_calls();
      co_await sleep(20ms);
      CHECK_FALSE(fiber.done());
      CHECK(system_calls() - before < 20);  // it does not spin
      one.write("line\n");
      const std::string words = co_await fiber.get();
      CHECK(words == "5 bytes");
    });
  }
  on_schedulers([]() -> task<> {
    const channel one = new_pipe();
    ::fcntl(one.in.get(), F_SETFL, O_WRONLY | O_NONBLOCK);
    standard_stream writer(one.in.get());
    standard_stream reader(one.out.get());
    const std::string all = pattern(200'000);
    const auto writing = spawn(outcome_of([&] { return writer.write_all(all); }));
    const std::uint64_t before = system_calls();
    co_await sleep(20ms);
    CHECK_FALSE(writing.done());
    CHECK(system_calls() - before < 20);
    std::string got(all.size(), '\0');
    co_await reader.read_exact(std::as_writable_bytes(std::span(got)));
    CHECK(got == all);
    const std::string words = co_await writing.get();
    CHECK(words == "done");
  });
}

TEST_CASE("destroying a stream ends a pending read with closed, and leaves the descriptor open") {
  for (const auto make : makers()) {
    on_schedulers([make]() -> task<> {
      const channel one = make();
      std::array<std::byte, 64> memory{};
      std::optional<standard_stream> stream(one.out.get());
      const auto fiber =
          spawn(outcome_of([&stream, &memory] { return stream->read_some(memory); }));
      co_await sleep(0s);
      stream.reset();
      const std::string words = co_await fiber.get();
      CHECK(words == "closed by this program");
      CHECK(is_open(one.out.get()));
    });
  }
}

TEST_CASE("a run ends although a read is pending") {
  for (const auto make : makers()) {
    on_schedulers([make]() -> task<> {
      const auto read_for_ever = [](channel one) -> task<> {
        line_reader reader(one.out.get());
        co_await reader.stream.read_some(reader.memory);
      };
      spawn(read_for_ever, make());
      co_await sleep(0s);
    });
  }
}

// The real ones

namespace {

// Installs the ends as standard input and output, in a child process.
void become_standard(const unique_fd& input, const unique_fd& output) {
  ::dup2(input.get(), STDIN_FILENO);
  ::dup2(output.get(), STDOUT_FILENO);
}

task<> echo_standard_streams() {
  standard_stream in = standard_input();
  standard_stream out = standard_output();
  std::array<std::byte, 64> memory{};
  while (const std::size_t count = co_await in.read_some(memory)) {
    co_await out.write_all(std::span(memory).first(count));
  }
}

}  // namespace

TEST_CASE("standard input and output are descriptors 0 and 1") {
  channel questions = new_pipe();
  const channel answers = new_pipe();
  questions.write("from standard input to standard output");
  questions.in.reset();
  const child_end end = run_in_child([&] {
    become_standard(questions.out, answers.in);
    const int flags = ::fcntl(STDIN_FILENO, F_GETFL);
    run(echo_standard_streams());
    RINGLET_ASSERT(::fcntl(STDIN_FILENO, F_GETFL) == flags, "standard input was changed");
    RINGLET_ASSERT(is_open(STDIN_FILENO) && is_open(STDOUT_FILENO), "they were closed");
  });
  CHECK(end.status == 0);
  std::array<char, 64> got{};
  CHECK(::read(answers.out.get(), got.data(), got.size()) == 38);
  CHECK(std::string_view(got.data()) == "from standard input to standard output");
}

TEST_CASE("a process whose output is not read ends by SIGPIPE, or in order by the error") {
  for (const bool ignored : {false, true}) {
    CAPTURE(ignored);
    channel questions = new_pipe();
    channel answers = new_pipe();
    questions.write("to nobody");
    answers.out.reset();
    const child_end end = run_in_child([&] {
      std::signal(SIGPIPE, ignored ? SIG_IGN : SIG_DFL);
      become_standard(questions.out, answers.in);
      run(echo_standard_streams());
    });
    CHECK(end.signal == (ignored ? 0 : SIGPIPE));
    CHECK(end.status == (ignored ? child_threw : -1));
    if (ignored) CHECK(end.errors.find("write_all: Broken pipe") != std::string::npos);
  }
}

TEST_SUITE_END();
