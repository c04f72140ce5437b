// accept() in every phase of its life, on a scripted engine: no connection is lost, the fiber that
// waits longest is served first, and the listener is armed only while there is room.
//
// Method: accepted "connections" are real descriptors of /dev/null, so that a leaked one shows.
// SPDX-License-Identifier: MIT
#include <ringlet/tcp_listener.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "support/aborts.hpp"
#include "support/loopback.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view closed = "closed by this program";
constexpr std::size_t staged_max = 64;

int fresh_fd() {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  return fd;
}

// A listener on a scripted engine that closes the descriptors of its streams.
struct hall {
  explicit hall(scripted_engine& used) : engine(used) {
    engine.answer(opcode::close, [](operation& op) { return ::close(op.fd); });
  }

  scripted_engine& engine;
  int listening_fd = fresh_fd();
  std::optional<tcp_listener> listener{listener_on(engine, listening_fd)};

  operation& armed() { return engine.oldest(opcode::accept); }
  bool is_armed() const { return engine.is_waiting(opcode::accept); }
  // A connection arrives, and the accept stays armed.
  int connect() {
    const int fd = fresh_fd();
    engine.complete(armed(), fd, {.more = true});
    return fd;
  }
  // The number of a connection that a fiber accepts and keeps for the test, so that it is not
  // reused.
  fiber<std::string> accepting(time_limit timeout = forever) {
    return spawn(accept_one(*this, timeout));
  }

  std::vector<tcp_stream> kept;

 private:
  static task<std::string> accept_one(hall& h, time_limit timeout) {
    co_return co_await outcome_of([&h, timeout] { return h.listener->accept(timeout); });
  }
};

template <class F>
task<> in_new_hall(scripted_engine& engine, F& body, int& listening_fd) {
  hall made(engine);
  listening_fd = made.listening_fd;
  co_await body(made);
}

// Runs the task that `body(hall&)` returns.
template <class F>
void in_hall(F body) {
  scripted_engine engine;
  int listening_fd = -1;
  const auto main = [](task<> inner) -> task<> { co_await spawn(std::move(inner)).get(); };
  detail::run_on(engine, main(in_new_hall(engine, body, listening_fd)), {},
                 std::source_location::current());
  CHECK(engine.called(opcode::shutdown, listening_fd) == 0);  // other fibers may share it
  CHECK(engine.closes(listening_fd) == 1);
}

std::string stream_of(int fd) { return "fd " + std::to_string(fd); }

}  // namespace

TEST_SUITE_BEGIN("accept phases");

TEST_CASE("a listener is armed once, when the first fiber waits") {
  in_hall([](hall& h) -> task<> {
    co_await settle();
    CHECK(h.engine.started(opcode::accept) == 0);
    const auto first = h.accepting();
    const auto second = h.accepting();
    co_await settle();
    CHECK(h.engine.started(opcode::accept) == 1);
    CHECK(h.armed().multishot);
    CHECK(h.armed().fd == h.listening_fd);
    const int a = h.connect();
    const int b = h.connect();
    const std::string first_words = co_await first.get();
    const std::string second_words = co_await second.get();
    CHECK(first_words == stream_of(a));
    CHECK(second_words == stream_of(b));
    CHECK(h.engine.started(opcode::accept) == 1);
  });
}

TEST_CASE("the fiber that waits longest is served first, and one that gave up is passed over") {
  in_hall([](hall& h) -> task<> {
    const auto a = h.accepting();
    const auto b = h.accepting();
    const auto c = h.accepting(5ms);
    const auto d = h.accepting();
    co_await settle();
    b.request_kill();
    co_await sleep(6ms);
    const int first = h.connect();
    const int second = h.connect();
    std::string words = co_await a.get();
    CHECK(words == stream_of(first));
    words = co_await b.get();
    CHECK(words == "cancelled");
    words = co_await c.get();
    CHECK(words == "timed out");
    words = co_await d.get();
    CHECK(words == stream_of(second));
    CHECK(h.engine.cancelled(opcode::accept) == 0);
  });
}

TEST_CASE("an accept that the system ended is armed again") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    co_await settle();
    const int fd = fresh_fd();
    h.engine.complete(h.armed(), fd);  // the last of this request
    const std::string words = co_await first.get();
    CHECK(words == stream_of(fd));
    CHECK(h.engine.started(opcode::accept) == 2);
  });
}

TEST_CASE("connections that no fiber has asked for wait in order") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    co_await settle();
    std::vector<int> made;
    for (int i = 0; i < 5; ++i) made.push_back(h.connect());
    std::string words = co_await first.get();
    CHECK(words == stream_of(made[0]));
    for (int i = 1; i < 5; ++i) {
      const auto next = h.accepting(0s);  // the limit has passed, but the call need not wait
      words = co_await next.get();
      CHECK(words == stream_of(made[static_cast<std::size_t>(i)]));
    }
    CHECK(h.engine.started(opcode::accept) == 1);
  });
}

TEST_CASE("the accept is cancelled at 64 unrequested connections, and armed again at 31") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    co_await settle();
    h.connect();
    co_await first.join();
    h.engine.hold_cancellations(true);
    for (std::size_t i = 0; i < staged_max; ++i) {
      CHECK(h.engine.cancelled(opcode::accept) == 0);
      h.connect();
      co_await settle();
    }
    CHECK(h.engine.cancelled(opcode::accept) == 1);
    h.connect();  // arrives before the cancellation
    h.engine.hold_cancellations(false);
    co_await settle();
    CHECK_FALSE(h.is_armed());

    for (std::size_t left = staged_max; left >= staged_max / 2; --left) {
      CHECK_FALSE(h.is_armed());
      co_await h.accepting().join();
    }
    co_await settle();
    CHECK(h.is_armed() == false);
    co_await h.accepting().join();
    CHECK(h.is_armed());
    CHECK(h.engine.started(opcode::accept) == 2);
  });
}

// Cancellation

TEST_CASE("no connection is lost when the fiber that waits for it is killed") {
  in_hall([](hall& h) -> task<> {
    // It has arrived and has not been delivered: the next fiber gets it.
    const auto early = h.accepting();
    co_await settle();
    const int a = h.connect();
    early.request_kill();
    std::string words = co_await early.get();
    CHECK(words == "cancelled");
    words = co_await h.accepting().get();
    CHECK(words == stream_of(a));

    // It has been delivered: success wins.
    const auto late = h.accepting();
    co_await settle();
    const int b = h.connect();
    co_await sleep(0s);
    late.request_kill();
    words = co_await late.get();
    CHECK(words == stream_of(b) + ", then cancelled");

    // It arrives afterwards.
    const auto before = h.accepting();
    co_await settle();
    before.request_kill();
    words = co_await before.get();
    CHECK(words == "cancelled");
    const int c = h.connect();
    co_await settle();
    CHECK(is_open(c));
    words = co_await h.accepting().get();
    CHECK(words == stream_of(c));
  });
}

TEST_CASE("no connection is lost when the limit passes as one arrives") {
  in_hall([](hall& h) -> task<> {
    const auto both = h.accepting(5ms);
    co_await settle();
    const int a = h.connect();
    h.engine.advance(5'000'000);
    std::string words = co_await both.get();
    const bool delivered = words == stream_of(a);
    if (!delivered) {
      CHECK(words == "timed out");
      words = co_await h.accepting().get();
      CHECK(words == stream_of(a));
    }
  });
}

TEST_CASE("a fiber that is killed before it accepts takes no connection") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    co_await settle();
    h.connect();
    const int waiting = h.connect();
    co_await first.join();
    current().kill();
    std::string words = co_await outcome_of([&] { return h.listener->accept(); });
    CHECK(words == "cancelled");
    words = co_await h.accepting().get();
    CHECK(words == stream_of(waiting));
  });
}

TEST_CASE("accepts are cancelled and waiting connections closed when the run ends") {
  scripted_engine engine;
  std::string words;
  int listening = -1;
  int waiting = -1;
  const auto main = [&]() -> task<> {
    const auto server = [&]() -> task<> {
      hall h(engine);
      listening = h.listening_fd;
      const auto first = h.accepting();
      co_await settle();
      h.connect();
      co_await first.join();
      waiting = h.connect();
      co_await settle();
      const auto second = h.accepting();
      co_await second.join();
      words = co_await outcome_of([&] { return h.listener->accept(); });
    };
    spawn(server);
    co_await sleep(1s);
    CHECK(is_open(listening));
  };
  detail::run_on(engine, main(), {}, std::source_location::current());
  CHECK(words == "cancelled, then cancelled");
  CHECK_FALSE(is_open(listening));
  CHECK_FALSE(is_open(waiting));
}

// Closing

TEST_CASE("closing ends waiting accepts with closed at once, and the descriptor afterwards") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    const auto second = h.accepting();
    co_await settle();
    h.engine.hold_cancellations(true);
    const auto closing = spawn(outcome_of([&h] { return h.listener->close(); }));
    co_await settle();
    std::string words = co_await first.get();
    CHECK(words == closed);
    words = co_await second.get();
    CHECK(words == closed);
    // While the system still accepts, the number is ours; what it accepts is closed.
    CHECK(is_open(h.listening_fd));
    CHECK(h.listener->native_handle() == -1);
    CHECK_FALSE(closing.done());
    const int late = h.connect();
    co_await settle();
    CHECK_FALSE(is_open(late));
    h.engine.hold_cancellations(false);
    words = co_await closing.get();
    CHECK(words == "done");
    CHECK_FALSE(is_open(h.listening_fd));
    words = co_await h.accepting().get();
    CHECK(words == closed);
    words = co_await outcome_of([&] { return h.listener->close(); });
    CHECK(words == "done");
  });
}

TEST_CASE("a fiber that is killed after its listener was closed throws cancelled, not closed") {
  in_hall([](hall& h) -> task<> {
    const auto waiting = h.accepting();
    co_await settle();
    h.listener.reset();
    waiting.request_kill();
    const std::string words = co_await waiting.get();
    CHECK(words == "cancelled");
  });
}

TEST_CASE("closing closes the connections that no fiber has asked for, delivered or not") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    co_await settle();
    h.connect();
    const int delivered = h.connect();
    co_await first.join();
    const int undelivered = h.connect();
    co_await h.listener->close();
    CHECK_FALSE(is_open(delivered));
    CHECK_FALSE(is_open(undelivered));
    CHECK_FALSE(is_open(h.listening_fd));
  });
}

TEST_CASE("a connection that was delivered before the listener is closed belongs to its fiber") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    co_await settle();
    const int made = h.connect();
    co_await sleep(0s);
    co_await h.listener->close();
    const std::string words = co_await first.get();
    CHECK(words == stream_of(made));
  });
}

TEST_CASE("destroying a listener ends waiting accepts and closes unrequested connections") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    co_await settle();
    h.engine.hold_cancellations(true);
    h.listener.reset();
    const std::string words = co_await first.get();
    CHECK(words == closed);
    CHECK(is_open(h.listening_fd));
    const int late = h.connect();
    co_await settle();
    CHECK_FALSE(is_open(late));
    h.engine.hold_cancellations(false);
    co_await settle();
    CHECK_FALSE(is_open(h.listening_fd));
  });
}

TEST_CASE("a listener that no fiber waits on, or that is being closed, may be destroyed") {
  in_hall([](hall& h) -> task<> {
    h.listener.reset();
    CHECK_FALSE(is_open(h.listening_fd));
    co_return;
  });
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    co_await settle();
    h.engine.hold_cancellations(true);
    const auto closing = spawn(outcome_of([&h] { return h.listener->close(); }));
    co_await settle();
    h.listener.reset();
    h.engine.hold_cancellations(false);
    const std::string words = co_await closing.get();
    CHECK(words == "done");
    CHECK_FALSE(is_open(h.listening_fd));
  });
}

TEST_CASE("a moved listener keeps its waiting accepts") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    co_await settle();
    tcp_listener elsewhere = std::move(*h.listener);
    const int made = h.connect();
    const std::string words = co_await first.get();
    CHECK(words == stream_of(made));
    *h.listener = std::move(elsewhere);
    CHECK(is_open(h.listening_fd));
  });
}

// Errors

TEST_CASE("a connection that failed before it was accepted is skipped") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    for (const int error : {ECONNABORTED, ECONNRESET, EPROTO, ENOPROTOOPT, ENETDOWN, ENETUNREACH,
                            EHOSTDOWN, EHOSTUNREACH, ENONET, ETIMEDOUT, EINTR, EAGAIN}) {
      co_await settle();
      CHECK_FALSE(first.done());
      h.engine.complete(h.armed(), -error);
    }
    co_await settle();
    const int made = h.connect();
    const std::string words = co_await first.get();
    CHECK(words == stream_of(made));
  });
}

TEST_CASE("an unusable listener fails every accept, and retries none without a call") {
  for (const int error : {EINVAL, EBADF, ENOTSOCK, EOPNOTSUPP, EPERM, EACCES, ENOSYS, EIO}) {
    in_hall([error](hall& h) -> task<> {
      h.engine.on_start = [&h, error](operation& op) {
        if (h.engine.started(opcode::accept) < 100) h.engine.complete(op, -error);
      };
      const auto first = h.accepting();
      const auto second = h.accepting();
      std::string words = co_await first.get();
      CHECK(words == std::system_category().message(error));
      words = co_await second.get();
      CHECK(words == std::system_category().message(error));
      co_await sleep(1s);
      CHECK(h.engine.started(opcode::accept) <= 2);
      words = co_await h.accepting().get();
      CHECK(words == std::system_category().message(error));
      CHECK(h.engine.started(opcode::accept) <= 3);
    });
  }
}

TEST_CASE("a stopped listener returns what it had accepted, and then closed") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    co_await settle();
    std::vector<int> arrived;
    for (int i = 0; i < 3; ++i) arrived.push_back(h.connect());
    h.listener->stop();
    h.listener->stop();
    CHECK(h.engine.cancelled(opcode::accept) == 1);
    std::string words = co_await first.get();
    CHECK(words == stream_of(arrived[0]));
    for (const int fd : {arrived[1], arrived[2]}) {
      words = co_await h.accepting().get();
      CHECK(words == stream_of(fd));
    }
    words = co_await h.accepting().get();
    CHECK(words == closed);
    CHECK(h.engine.started(opcode::accept) == 1);
  });
}

TEST_CASE("a stop ends waiting accepts, but not before the system has answered") {
  in_hall([](hall& h) -> task<> {
    const auto first = h.accepting();
    const auto second = h.accepting();
    co_await settle();
    h.engine.hold_cancellations(true);
    h.listener->stop();
    const auto third = h.accepting();
    co_await settle();
    CHECK_FALSE(first.done());
    const int fd = fresh_fd();
    h.engine.complete(h.armed(), fd);  // the cancellation came too late
    const std::string first_words = co_await first.get();
    const std::string second_words = co_await second.get();
    const std::string third_words = co_await third.get();
    CHECK(first_words == stream_of(fd));
    CHECK(second_words == closed);
    CHECK(third_words == closed);
    CHECK(h.engine.started(opcode::accept) == 1);
  });
}

TEST_CASE("a listener that never accepted can be stopped") {
  in_hall([](hall& h) -> task<> {
    h.listener->stop();
    const std::string words = co_await h.accepting().get();
    CHECK(words == closed);
    CHECK(h.engine.started(opcode::accept) == 0);
  });
}

TEST_CASE("a waiting accept does not count as a deadlock") {
  in_hall([](hall& h) -> task<> {
    bool asked = false;
    int made = -1;
    h.engine.on_idle = [&] {
      if (std::exchange(asked, true)) return false;
      made = h.connect();
      return true;
    };
    const std::string words = co_await outcome_of([&] { return h.listener->accept(); });
    CHECK(words == stream_of(made));
  });
}

TEST_CASE("using a listener that was moved from aborts and says so") {
  CHECK(aborts_with("a listener that was moved from was used", [] {
    in_hall([](hall& h) -> task<> {
      const tcp_listener elsewhere = std::move(*h.listener);
      co_await h.listener->accept();
    });
  }));
}

TEST_SUITE_END();
