// poll_fd() as a case of select(): which case wins, and that nothing waits for the descriptor any
// longer when select() returns.
//
// Method: each phase on a scripted engine, which answers cancellations on command; then real pipes,
// whose other end the test holds.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/poll_fd.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/select.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <poll.h>

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>
#include <variant>

#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/sockets.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

static_assert(selectable<poll_fd_wait>);

namespace {

constexpr int foreign_fd = 9;
constexpr int other_fd = 10;

// What select() took from a poll and a pop: "ready 1", "item 7", the message of the error, or
// "cancelled"; with ", then cancelled" as in outcome_of.
task<std::string> choose(int fd, queue<int>& items, time_limit limit_of_poll = forever,
                         time_limit limit_of_pop = forever) {
  std::string words;
  try {
    auto taken =
        co_await as_result(select(poll_fd(fd, POLLIN, limit_of_poll), items.pop(limit_of_pop)));
    if (!taken) {
      words = taken.error().message();
    } else if (taken->index() == 0) {
      words = "ready " + std::to_string(std::get<0>(*taken));
    } else {
      words = "item " + std::to_string(std::get<1>(*taken));
    }
  } catch (const cancelled&) {
    words = "cancelled";
  }
  co_return co_await with_what_is_pending(words);
}

operation& polled(stage& s) { return s.engine.oldest(opcode::poll, foreign_fd); }

}  // namespace

TEST_SUITE_BEGIN("select poll_fd");

// row: JN-04
TEST_CASE(
    "select() takes a ready descriptor at once, without a request, and the first in order wins") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    s.engine.answer(opcode::poll, POLLIN | POLLHUP);
    CHECK(items.try_push(7));
    std::string words = co_await choose(foreign_fd, items);
    CHECK(words == "ready " + std::to_string(POLLIN | POLLHUP));
    CHECK(items.size() == 1);
    CHECK(s.engine.log().back().events == POLLIN);
    const auto other = co_await select(items.pop(), poll_fd(foreign_fd, POLLIN));
    CHECK(other.index() == 0);
    s.engine.answer(opcode::poll, -EBADF);
    words = co_await choose(foreign_fd, items);
    CHECK(words == "Bad file descriptor");
    CHECK(s.engine.started(opcode::poll) == 0);
  });
}

// row: JN-04
TEST_CASE(
    "select() takes a descriptor that becomes ready first, and the other cases lose nothing") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    const auto chooser = spawn(choose(foreign_fd, items));
    co_await settle();
    CHECK_FALSE(chooser.done());
    CHECK(polled(s).poll.events == POLLIN);
    s.engine.complete(polled(s), POLLIN);
    const std::string words = co_await chooser.get();
    CHECK(words == "ready 1");
    CHECK(s.engine.cancelled(opcode::poll) == 0);
    CHECK(items.try_push(1));
    CHECK(items.size() == 1);
  });
}

// row: JN-04
TEST_CASE("a system error is the case taken, and is returned unchanged") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    const auto chooser = spawn(choose(foreign_fd, items));
    co_await settle();
    s.engine.complete(polled(s), -ENOMEM);
    const std::string words = co_await chooser.get();
    CHECK(words == "Cannot allocate memory");
    std::string said;
    s.engine.on_start = [&](operation& op) { s.engine.complete(op, -ENOMEM); };
    try {
      co_await select(items.pop(), poll_fd(foreign_fd, POLLIN));
    } catch (const std::system_error& error) {
      said = error.what();
    }
    CHECK(said == "poll_fd: Cannot allocate memory");
  });
}

// row: JN-04
TEST_CASE("select() returns only after its poll has ended when another case is taken") {
  // The poll ends by its cancellation, with success, and in ways that would otherwise make it
  // retry.
  for (const int answer : {-ECANCELED, POLLIN, -ENOMEM, -EINTR, -EAGAIN, -EINVAL}) {
    CAPTURE(answer);
    on_stage([answer](stage& s) -> task<> {
      queue<int> items;
      s.engine.hold_cancellations(true);
      const auto chooser = spawn(choose(foreign_fd, items));
      co_await settle();
      CHECK(items.try_push(7));
      CHECK(items.empty());  // taken already
      co_await settle();
      CHECK_FALSE(chooser.done());
      CHECK(s.engine.cancelled(opcode::poll, foreign_fd) == 1);
      s.engine.complete(polled(s), answer);
      const std::string words = co_await chooser.get();
      CHECK(words == "item 7");
      CHECK(s.engine.started(opcode::poll) == 1);
    });
  }
}

// row: JN-04
TEST_CASE(
    "select() also waits for the end of a poll that lost in the turn in which it was started") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    const auto chooser = spawn(choose(foreign_fd, items));
    co_await yield();
    CHECK(s.engine.started(opcode::poll) == 1);
    CHECK(items.try_push(7));
    co_await yield();
    CHECK_FALSE(chooser.done());
    const std::string words = co_await chooser.get();
    CHECK(words == "item 7");
    CHECK(s.engine.cancelled(opcode::poll, foreign_fd) == 1);
  });
}

// row: JN-04
TEST_CASE("select() takes whichever comes first of a descriptor and an item in one turn") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    auto chooser = spawn(choose(foreign_fd, items));
    co_await settle();
    s.engine.complete(polled(s), POLLIN);  // delivered at the end of the turn
    CHECK(items.try_push(7));
    std::string words = co_await chooser.get();
    CHECK(words == "item 7");
    chooser = spawn(choose(foreign_fd, items));
    co_await settle();
    s.engine.complete(polled(s), POLLIN);
    co_await sleep(0s);
    CHECK(items.try_push(8));
    words = co_await chooser.get();
    CHECK(words == "ready 1");
    CHECK(items.size() == 1);
  });
}

// row: JN-04
TEST_CASE("a poll that was interrupted by a signal continues as a case of select()") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    const auto chooser = spawn(choose(foreign_fd, items));
    for (const int error : {EINTR, EAGAIN, EINVAL}) {
      co_await settle();
      s.engine.complete(polled(s), -error);
    }
    co_await settle();
    CHECK_FALSE(chooser.done());
    s.engine.complete(polled(s), POLLIN);
    const std::string words = co_await chooser.get();
    CHECK(words == "ready 1");
  });
}

// row: JN-04
TEST_CASE("select() takes one of two polls, and waits for the end of the other") {
  on_stage([](stage& s) -> task<> {
    s.engine.hold_cancellations(true);
    const auto both = [](int a, int b) -> task<std::size_t> {
      const auto taken = co_await select(poll_fd(a, POLLIN), poll_fd(b, POLLIN), sleep(1h));
      co_return taken.index();
    };
    auto chooser = spawn(both, foreign_fd, other_fd);
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::poll, other_fd), POLLIN);
    co_await settle();
    CHECK_FALSE(chooser.done());
    s.engine.complete(polled(s), POLLIN);
    std::size_t index = co_await chooser.get();
    CHECK(index == 1);
    chooser = spawn(both, foreign_fd, foreign_fd);
    co_await settle();
    s.engine.complete(polled(s), POLLIN);
    s.engine.complete(polled(s), POLLIN);
    index = co_await chooser.get();
    CHECK(index == 0);
  });
}

// Limits

// row: JN-04
TEST_CASE("the limit of a poll ends select() when the poll has ended: success wins") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    s.engine.hold_cancellations(true);
    const auto chooser = spawn(choose(foreign_fd, items, 5ms, 6ms));
    co_await sleep(9ms);  // the other limit has passed as well by now
    CHECK(s.engine.cancelled(opcode::poll) == 1);
    CHECK_FALSE(chooser.done());
    CHECK(items.try_push(7));
    CHECK(items.size() == 1);
    SUBCASE("the poll ends by its cancellation") {
      s.engine.hold_cancellations(false);
      const std::string words = co_await chooser.get();
      CHECK(words == "timed out");
    }
    SUBCASE("the poll succeeds") {
      s.engine.complete(polled(s), POLLIN);
      const std::string words = co_await chooser.get();
      CHECK(words == "ready 1");
    }
  });
}

// row: JN-04
TEST_CASE("select() takes the case whose limit passes while a poll waits") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    std::string words = co_await choose(foreign_fd, items, 6ms, 5ms);
    CHECK(words == "timed out");
    CHECK(s.engine.now() == scripted_engine::start_time + 5'000'000);
    s.engine.hold_cancellations(true);
    const auto timed = [](int fd) -> task<std::size_t> {
      const auto taken = co_await select(poll_fd(fd, POLLIN), sleep(1ms));
      co_return taken.index();
    };
    const auto chooser = spawn(timed, foreign_fd);
    co_await sleep(2ms);
    s.engine.complete(polled(s), POLLIN);
    const std::size_t index = co_await chooser.get();
    CHECK(index == 1);
  });
}

// rows: W7 JN-04
TEST_CASE("a limit around select() also ends its poll") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    CHECK_THROWS_AS(
        co_await with_timeout(1ms, select(poll_fd(foreign_fd, POLLIN, 1h), items.pop())),
        timed_out);
    CHECK_FALSE(s.engine.is_waiting(opcode::poll));
    CHECK(items.try_push(1));
    CHECK(items.size() == 1);
  });
}

// Kills

// row: JN-04
TEST_CASE("a fiber that is killed before its select() begins does not poll the descriptor") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    current().kill();
    const std::string words = co_await choose(foreign_fd, items);
    CHECK(words == "cancelled");
    CHECK(s.engine.log().empty());
  });
}

// row: JN-04
TEST_CASE("a kill ends select() when its poll has ended, and takes nothing") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    s.engine.hold_cancellations(true);
    const auto chooser = spawn(choose(foreign_fd, items, 1h));
    co_await settle();
    chooser.request_kill();
    CHECK(items.try_push(7));
    co_await settle();
    CHECK_FALSE(chooser.done());
    SUBCASE("by its cancellation") { s.engine.hold_cancellations(false); }
    SUBCASE("by its success") { s.engine.complete(polled(s), POLLIN); }
    const std::string words = co_await chooser.get();
    CHECK(words == "cancelled");
    CHECK(items.size() == 1);
  });
}

// row: JN-04
TEST_CASE("a kill after a case was taken is thrown at the next wait") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    const auto ready = spawn(choose(foreign_fd, items));
    co_await settle();
    s.engine.complete(polled(s), POLLIN);
    co_await sleep(0s);
    ready.request_kill();
    std::string words = co_await ready.get();
    CHECK(words == "ready 1, then cancelled");

    s.engine.hold_cancellations(true);
    const auto chooser = spawn(choose(foreign_fd, items, 1h));
    co_await settle();
    CHECK(items.try_push(7));
    co_await settle();
    chooser.request_kill();
    co_await settle();
    CHECK_FALSE(chooser.done());
    s.engine.hold_cancellations(false);
    words = co_await chooser.get();
    CHECK(words == "item 7, then cancelled");
  });
}

// row: JN-04
TEST_CASE(
    "other objects of a select() may be destroyed until its poll has ended, and dump shows the "
    "rest") {
  on_stage([](stage& s) -> task<> {
    std::optional<queue<int>> items(std::in_place);
    s.engine.hold_cancellations(true);
    const auto chooser = spawn(choose(foreign_fd, *items));
    co_await settle();
    CHECK(dump().find("select of poll_fd fd 9, pop queue ") != std::string::npos);
    CHECK(items->try_push(7));
    items.reset();
    co_await settle();
    CHECK(dump().find("select of poll_fd fd 9, for ") != std::string::npos);
    s.engine.hold_cancellations(false);
    const std::string words = co_await chooser.get();
    CHECK(words == "item 7");
  });
}

// Real descriptors

// row: JN-04
TEST_CASE("a loop over a pipe, a queue and a stop takes everything that arrives, and ends") {
  on_schedulers([]() -> task<> {
    const fd_pair pipe = pipe_pair();
    queue<int> items;
    event stop;
    std::string log;
    const auto serve = [&]() -> task<> {
      for (;;) {
        auto taken = co_await select(stop.wait(), items.pop(), poll_fd(pipe.near.get(), POLLIN));
        if (taken.index() == 0) co_return;
        log += taken.index() == 1 ? std::to_string(std::get<1>(taken)) : drain(pipe.near);
      }
    };
    const fiber<> server = spawn(serve);
    std::string sent;
    for (int i = 0; i < 10; ++i) {
      if (i % 2 == 0) {
        CHECK(items.try_push(int{i}));
        sent += std::to_string(i);
      } else {
        put(pipe.far, "x");
        sent += "x";
      }
      while (log.size() < sent.size()) co_await sleep(0s);
    }
    stop.set();
    co_await server.join();
    CHECK(log == sent);
  });
}

// row: JN-04
TEST_CASE("a descriptor may be closed when its select() has taken another case") {
  // On one thread, because another thread would reuse the number.
  on_one_scheduler([]() -> task<> {
    for (int i = 0; i < 3; ++i) {
      fd_pair pipe = pipe_pair();
      const auto taken = co_await select(poll_fd(pipe.near.get(), POLLIN), sleep(0s));
      CHECK(taken.index() == 1);
      pipe = pipe_pair();
      put(pipe.far, "x");
      const short ready = co_await poll_fd(pipe.near.get(), POLLIN);
      CHECK(ready == POLLIN);
      pipe = {};
    }
  });
}

// row: JN-04
TEST_CASE("a run ends although a select() polls") {
  fd_pair pipe = pipe_pair();
  queue<int> items;
  on_one_scheduler([&]() -> task<> {
    spawn(choose(pipe.near.get(), items));
    co_await sleep(0s);
  });
  CHECK(is_open(pipe.near.get()));
}

TEST_SUITE_END();
