// poll_fd on descriptors of every kind that another library may own.
//
// Method: each phase on a scripted engine; then real pipes, sockets and files, whose other end the
// test holds.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/poll_fd.hpp>
#include <ringlet/run.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/sockets.hpp"
#include "support/stage.hpp"
#include "support/terminals.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr int foreign_fd = 9;

// "in", "out hup", or the error; with ", then cancelled" as outcome_of.
std::string names_of(short events) {
  std::string names;
  const std::array<std::pair<short, const char*>, 6> known{{{POLLIN, "in"},
                                                            {POLLOUT, "out"},
                                                            {POLLPRI, "pri"},
                                                            {POLLRDHUP, "rdhup"},
                                                            {POLLERR, "err"},
                                                            {POLLHUP, "hup"}}};
  for (const auto& [event, name] : known) {
    if ((events & event) == 0) continue;
    if (!names.empty()) names += ' ';
    names += name;
  }
  return names;
}

task<std::string> outcome_of_poll(int fd, short events, time_limit timeout = forever) {
  std::string words;
  try {
    const auto got = co_await as_result(poll_fd(fd, events, timeout));
    words = got ? names_of(*got) : got.error().message();
  } catch (const cancelled&) {
    words = "cancelled";
  }
  co_return co_await with_what_is_pending(words);
}

operation& polled(stage& s) { return s.engine.oldest(opcode::poll, foreign_fd); }

std::vector<fd_pair (*)()> makers() {
  std::vector<fd_pair (*)()> all{&pipe_pair, &socket_pair, &tcp_pair};
  if (!lacks_terminals()) all.push_back(&terminal_pair);
  return all;
}

}  // namespace

TEST_SUITE_BEGIN("poll_fd");

TEST_CASE(
    "a poll requests the events that it was given, and returns those that the system reports") {
  on_stage([](stage& s) -> task<> {
    const auto fiber = spawn(outcome_of_poll(foreign_fd, POLLIN | POLLPRI));
    co_await settle();
    CHECK_FALSE(fiber.done());
    CHECK(polled(s).poll.events == (POLLIN | POLLPRI));
    CHECK_FALSE(polled(s).multishot);
    s.engine.complete(polled(s), POLLIN | POLLHUP);
    const std::string words = co_await fiber.get();
    CHECK(words == "in hup");
    CHECK(s.engine.log().size() == 1);  // no other request was made for the descriptor
  });
}

TEST_CASE("a poll that was interrupted by a signal is tried again") {
  for (const int error : {EINTR, EAGAIN}) {
    on_stage([error](stage& s) -> task<> {
      const auto fiber = spawn(outcome_of_poll(foreign_fd, POLLOUT));
      co_await settle();
      s.engine.complete(polled(s), -error);
      co_await settle();
      CHECK_FALSE(fiber.done());
      s.engine.complete(polled(s), POLLOUT);
      const std::string words = co_await fiber.get();
      CHECK(words == "out");
      CHECK(s.engine.started(opcode::poll) == 2);
    });
  }
}

TEST_CASE("a system error is returned unchanged, and names the call when it is thrown") {
  on_stage([](stage& s) -> task<> {
    s.engine.on_start = [&](operation& op) { s.engine.complete(op, -ENOMEM); };
    const std::string words = co_await outcome_of_poll(foreign_fd, POLLIN);
    CHECK(words == "Cannot allocate memory");
    std::string said;
    try {
      co_await poll_fd(foreign_fd, POLLIN);
    } catch (const std::system_error& error) {
      said = error.what();
    }
    CHECK(said == "poll_fd: Cannot allocate memory");
  });
}

TEST_CASE("a poll throws timed_out when its limit passes, after the operation has ended") {
  on_stage([](stage& s) -> task<> {
    s.engine.hold_cancellations(true);
    const auto fiber = spawn(outcome_of_poll(foreign_fd, POLLIN, 5ms));
    co_await sleep(6ms);
    CHECK(s.engine.cancelled(opcode::poll) == 1);
    CHECK_FALSE(fiber.done());
    s.engine.hold_cancellations(false);
    const std::string words = co_await fiber.get();
    CHECK(words == "timed out");
    bool thrown = false;
    try {
      co_await poll_fd(foreign_fd, POLLIN, 0s);
    } catch (const timed_out& error) {
      thrown = true;
      CHECK(std::string(error.what()) == "poll_fd: timed out");
    }
    CHECK(thrown);
  });
}

TEST_CASE("a poll whose limit has passed returns what is ready at once") {
  on_stage([](stage& s) -> task<> {
    s.engine.on_start = [&](operation& op) { s.engine.complete(op, POLLIN); };
    const std::string words = co_await outcome_of_poll(foreign_fd, POLLIN, 0s);
    CHECK(words == "in");
  });
}

TEST_CASE("a killed poll ends before its start, during its wait, or after its success") {
  on_stage([](stage& s) -> task<> {
    current().kill();
    std::string words = co_await outcome_of_poll(foreign_fd, POLLIN);
    CHECK(words == "cancelled");
    CHECK(s.engine.started(opcode::poll) == 0);

    const auto waiting = spawn(outcome_of_poll(foreign_fd, POLLIN));
    co_await settle();
    waiting.request_kill();
    words = co_await waiting.get();
    CHECK(words == "cancelled");

    const auto ready = spawn(outcome_of_poll(foreign_fd, POLLIN));
    co_await settle();
    s.engine.complete(polled(s), POLLIN);
    ready.request_kill();
    words = co_await ready.get();
    CHECK(words == "cancelled");  // a poll takes nothing that could be lost

    s.engine.hold_cancellations(true);
    const auto retried = spawn(outcome_of_poll(foreign_fd, POLLIN));
    co_await settle();
    retried.request_kill();
    co_await settle();
    s.engine.complete(polled(s), -EINTR);
    words = co_await retried.get();
    CHECK(words == "cancelled");
    CHECK(s.engine.started(opcode::poll) == 3);
  });
}

// Real descriptors

TEST_CASE(
    "a poll waits until there is something to read, takes nothing, and reports it each time") {
  for (const auto make : makers()) {
    on_schedulers([make]() -> task<> {
      const fd_pair pair = make();
      const auto fiber = spawn(outcome_of_poll(pair.near.get(), POLLIN));
      co_await sleep(0s);
      CHECK_FALSE(fiber.done());
      put(pair.far, "x");
      std::string words = co_await fiber.get();
      CHECK(words == "in");
      words = co_await outcome_of_poll(pair.near.get(), POLLIN);
      CHECK(words == "in");
      CHECK(drain(pair.near) == "x");
      words = co_await outcome_of_poll(pair.near.get(), POLLIN, 0s);
      CHECK(words == "timed out");
    });
  }
}

TEST_CASE("a poll that is killed or timed out takes nothing") {
  for (const auto make : makers()) {
    on_schedulers([make]() -> task<> {
      const fd_pair pair = make();
      const auto killed = spawn(outcome_of_poll(pair.near.get(), POLLIN));
      co_await sleep(0s);
      killed.request_kill();
      std::string words = co_await killed.get();
      CHECK(words == "cancelled");
      words = co_await outcome_of_poll(pair.near.get(), POLLIN, 1ms);
      CHECK(words == "timed out");
      put(pair.far, "x");
      words = co_await outcome_of_poll(pair.near.get(), POLLIN);
      CHECK(words == "in");
    });
  }
}

TEST_CASE("a poll for output waits until there is room") {
  on_schedulers([]() -> task<> {
    const fd_pair pair = pipe_pair();
    std::string words = co_await outcome_of_poll(pair.far.get(), POLLOUT);
    CHECK(words == "out");
    fill(pair.far);
    const auto fiber = spawn(outcome_of_poll(pair.far.get(), POLLOUT));
    co_await sleep(0s);
    CHECK_FALSE(fiber.done());
    drain(pair.near);
    words = co_await fiber.get();
    CHECK(words == "out");
  });
}

TEST_CASE("a poll reports a peer that disconnects, whether requested or not") {
  on_schedulers([]() -> task<> {
    fd_pair pipe = pipe_pair();
    const auto for_bytes = spawn(outcome_of_poll(pipe.near.get(), POLLIN));
    const auto for_errors = spawn(outcome_of_poll(pipe.near.get(), 0));
    co_await sleep(0s);
    CHECK_FALSE(for_errors.done());
    pipe.far.reset();
    std::string words = co_await for_bytes.get();
    CHECK(words == "hup");
    words = co_await for_errors.get();
    CHECK(words == "hup");

    fd_pair unread = pipe_pair();
    unread.near.reset();
    words = co_await outcome_of_poll(unread.far.get(), POLLOUT);
    CHECK(words == "out err");

    fd_pair tcp = tcp_pair();
    const auto half = spawn(outcome_of_poll(tcp.near.get(), POLLRDHUP));
    co_await sleep(0s);
    CHECK_FALSE(half.done());
    ::shutdown(tcp.far.get(), SHUT_WR);
    words = co_await half.get();
    CHECK(words == "rdhup");
  });
}

TEST_CASE("all fibers that poll one descriptor are woken") {
  for (const auto make : makers()) {
    on_schedulers([make]() -> task<> {
      const fd_pair pair = make();
      const auto one = spawn(outcome_of_poll(pair.near.get(), POLLIN));
      const auto killed = spawn(outcome_of_poll(pair.near.get(), POLLIN));
      const auto two = spawn(outcome_of_poll(pair.near.get(), POLLIN));
      co_await sleep(0s);
      killed.request_kill();
      std::string words = co_await killed.get();
      CHECK(words == "cancelled");
      put(pair.far, "x");
      words = co_await one.get();
      CHECK(words == "in");
      words = co_await two.get();
      CHECK(words == "in");
    });
  }
}

TEST_CASE("files and directories are always ready for reading and writing") {
  on_schedulers([]() -> task<> {
    std::string path = "/tmp/ringlet-test-XXXXXX";
    const unique_fd file(::mkostemp(path.data(), O_CLOEXEC));
    REQUIRE(file);
    ::unlink(path.c_str());
    std::string words = co_await outcome_of_poll(file.get(), POLLIN | POLLOUT);
    CHECK(words == "in out");
    words = co_await outcome_of_poll(file.get(), POLLIN, 0s);
    CHECK(words == "in");
    const unique_fd directory(::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    words = co_await outcome_of_poll(directory.get(), POLLIN);
    CHECK(words == "in");
    for (const short events : {short{0}, short{POLLPRI}, short{POLLRDHUP}}) {
      words = co_await outcome_of_poll(file.get(), events);
      CHECK(words == "Invalid argument");
    }
  });
}

TEST_CASE("a descriptor that is not open is an error") {
  // On one thread, because another thread would reuse the number.
  on_one_scheduler([]() -> task<> {
    const int closed = [] {
      const fd_pair pair = pipe_pair();
      return ::fcntl(pair.near.get(), F_DUPFD_CLOEXEC, 900);
    }();
    ::close(closed);
    for (const int fd : {-1, closed, 1'000'000}) {
      const std::string words = co_await outcome_of_poll(fd, POLLIN);
      CHECK(words == "Bad file descriptor");
    }
  });
}

TEST_CASE("a kill ends a poll whose descriptor was closed against the rules") {
  on_schedulers([]() -> task<> {
    fd_pair pair = pipe_pair();
    const auto fiber = spawn(outcome_of_poll(pair.near.get(), POLLIN));
    co_await sleep(0s);
    ::close(pair.near.release());
    fiber.request_kill();
    const std::string words = co_await fiber.get();
    CHECK(words == "cancelled");
  });
}

TEST_CASE("a poll leaves O_NONBLOCK unchanged, set or not") {
  for (const int flag : {0, O_NONBLOCK}) {
    for (const auto make : makers()) {
      on_schedulers([make, flag]() -> task<> {
        const fd_pair pair = make();
        const int fd = pair.near.get();
        REQUIRE(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | flag) == 0);
        const int before = ::fcntl(fd, F_GETFL);
        const auto fiber = spawn(outcome_of_poll(fd, POLLIN));
        co_await sleep(0s);
        CHECK(::fcntl(fd, F_GETFL) == before);
        put(pair.far, "x");
        const std::string words = co_await fiber.get();
        CHECK(words == "in");
        CHECK(::fcntl(fd, F_GETFL) == before);
      });
    }
  }
}

TEST_CASE("a run ends although a poll waits, and leaves the descriptor open") {
  fd_pair pair = pipe_pair();
  on_one_scheduler([&pair]() -> task<> {
    spawn(outcome_of_poll(pair.near.get(), POLLIN));
    co_await sleep(0s);
  });
  CHECK(is_open(pair.near.get()));
}

TEST_CASE("a signalfd reports SIGHUP and SIGUSR1 to a fiber, as in the header's example") {
  const child_end end = run_in_child([] {
    const auto main = []() -> task<> {
      sigset_t wanted;
      ::sigemptyset(&wanted);
      ::sigaddset(&wanted, SIGHUP);
      ::sigaddset(&wanted, SIGUSR1);
      ::pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
      const unique_fd signals(::signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC));
      const auto listening = spawn([&]() -> task<> {
        for (int left = 2; left != 0;) {
          co_await poll_fd(signals.get(), POLLIN);
          signalfd_siginfo came;
          while (::read(signals.get(), &came, sizeof came) == sizeof came) {
            std::fprintf(stderr, "%s;", came.ssi_signo == SIGHUP ? "reload" : "report");
            --left;
          }
        }
      });
      co_await sleep(0s);
      ::kill(::getpid(), SIGHUP);
      ::kill(::getpid(), SIGUSR1);
      co_await listening.join();
    };
    run(main());
  });
  CHECK(end.status == 0);
  CHECK(end.errors == "reload;report;");
}

TEST_SUITE_END();
