// accept() as a case of select(): no connection is lost when another case is taken.
//
// Method: the test completes the scripted engine's accept, with real descriptors of /dev/null, so
// that a leaked one shows.
// SPDX-License-Identifier: MIT
#include <ringlet/deadlock.hpp>
#include <ringlet/event.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/select.hpp>
#include <ringlet/tcp_listener.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <source_location>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include "support/loopback.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

static_assert(selectable<accept_wait>);
// Completion here would have filled the caller's memory, or created something on the way.
static_assert(!selectable<decltype(std::declval<tcp_stream&>().read_some({}))>);
static_assert(!selectable<decltype(std::declval<tcp_stream&>().receive())>);
static_assert(!selectable<decltype(std::declval<tcp_listener&>().close())>);

namespace {

int fresh_fd() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

// A listener, a queue and an event, from which a fiber takes one.
struct porch {
  explicit porch(scripted_engine& used) : engine(used) {
    engine.answer(opcode::close, [](operation& op) { return ::close(op.fd); });
  }

  int connect() {
    const int fd = fresh_fd();
    engine.complete(engine.oldest(opcode::accept), fd, {.more = true});
    return fd;
  }
  // "fd 9", "item 7", "set", "closed", ...
  fiber<std::string> choosing(time_limit timeout = forever) { return spawn(choose(timeout)); }

  scripted_engine& engine;
  tcp_listener listener = listener_on(engine, fresh_fd());
  queue<int> items;
  event door;

 private:
  task<std::string> choose(time_limit timeout) {
    try {
      auto taken = co_await select(listener.accept(timeout), items.pop(), door.wait());
      if (taken.index() == 1) co_return "item " + std::to_string(std::get<1>(taken));
      if (taken.index() == 2) co_return "set";
      co_return "fd " + std::to_string(std::get<0>(taken).native_handle());
    } catch (const std::system_error& error) {
      co_return error.code().message();
    }
  }
};

template <class F>
task<> on_new_porch(scripted_engine& engine, F& body) {
  porch made(engine);
  co_await body(made);
}

template <class F>
void on_porch(F body) {
  scripted_engine engine;
  detail::run_on(engine, on_new_porch(engine, body), {}, std::source_location::current());
}

}  // namespace

TEST_SUITE_BEGIN("select accept");

// row: JN-04
TEST_CASE("select() takes a connection that arrives first") {
  on_porch([](porch& p) -> task<> {
    const auto chooser = p.choosing();
    co_await settle();
    const int fd = p.connect();
    const std::string words = co_await chooser.get();
    CHECK(words == "fd " + std::to_string(fd));
    CHECK(p.items.try_push(1));
    CHECK(p.items.size() == 1);
  });
}

// row: JN-04
TEST_CASE("a connection that arrives after another case was taken is kept for the next accept") {
  on_porch([](porch& p) -> task<> {
    const auto chooser = p.choosing();
    co_await settle();
    SUBCASE("in a later turn") {
      CHECK(p.items.try_push(7));
      std::string words = co_await chooser.get();
      CHECK(words == "item 7");
      const int fd = p.connect();
      co_await settle();
      CHECK(is_open(fd));
      const tcp_stream next = co_await p.listener.accept();
      CHECK(next.native_handle() == fd);
    }
    SUBCASE("in the same turn") {
      const int fd = p.connect();
      CHECK(p.items.try_push(7));
      std::string words = co_await chooser.get();
      CHECK(words == "item 7");
      const auto next = p.choosing();  // staged, so it is taken at once
      words = co_await next.get();
      CHECK(words == "fd " + std::to_string(fd));
    }
    SUBCASE("after a kill") {
      const int fd = p.connect();
      chooser.request_kill();
      co_await chooser.join();
      co_await settle();
      CHECK(chooser.result() == outcome::cancelled);
      const tcp_stream next = co_await p.listener.accept();
      CHECK(next.native_handle() == fd);
    }
  });
}

// row: JN-04
TEST_CASE("a connection skips selects that took another case, and is served in line with accept") {
  on_porch([](porch& p) -> task<> {
    const auto first = p.choosing();
    const auto second = spawn([](porch& at) -> task<int> {
      const tcp_stream got = co_await at.listener.accept();
      co_return got.native_handle();
    }(p));
    const auto third = p.choosing();
    co_await settle();
    CHECK(p.items.try_push(7));
    const int a = p.connect(), b = p.connect();
    const std::string words = co_await first.get();
    CHECK(words == "item 7");
    const int got = co_await second.get();
    CHECK(got == a);
    const std::string last = co_await third.get();
    CHECK(last == "fd " + std::to_string(b));
  });
}

// row: JN-04
TEST_CASE("select() takes accept's case when its limit passes or its listener is closed") {
  on_porch([](porch& p) -> task<> {
    const auto late = p.choosing(5ms);
    std::string words = co_await late.get();
    CHECK(words == "timed out");
    const auto waits = p.choosing();
    co_await settle();
    co_await p.listener.close();
    words = co_await waits.get();
    CHECK(words == "closed by this program");
    const auto refused = p.choosing();
    words = co_await refused.get();
    CHECK(words == "closed by this program");
    CHECK(p.items.try_push(1));
    CHECK(p.items.size() == 1);
  });
}

// rows: JN-04 W42
TEST_CASE("a select() is no deadlock while a connection may arrive, and is one afterwards") {
  const auto body = [](porch& p) -> task<> {
    const auto chooser = p.choosing();
    int idle_turns = 0;
    p.engine.on_idle = [&] {
      ++idle_turns;
      p.connect();
      p.engine.on_idle = nullptr;
      return true;
    };
    const std::string words = co_await chooser.get();
    CHECK(words.find("fd ") == 0);
    CHECK(idle_turns == 1);
    co_await select(p.items.pop(), p.door.wait());  // the listener no longer prevents a deadlock
  };
  CHECK_THROWS_AS(on_porch(body), deadlock);
}

// row: JN-04
TEST_CASE("a loop of accept and stop serves real connections, and ends") {
  run([]() -> task<> {
    tcp_listener listener = tcp_listener::bind("127.0.0.1:0");
    event stop;
    int served = 0;
    const auto serve = [&]() -> task<> {
      for (;;) {
        const auto taken = co_await select(stop.wait(), listener.accept());
        if (taken.index() == 0) co_return;
        ++served;
      }
    };
    const fiber<> server = spawn(serve);
    for (int i = 0; i < 10; ++i) {
      tcp_stream client = co_await tcp_stream::connect(listener.local_address());
      while (served <= i) co_await yield();
    }
    stop.set();
    co_await server.join();
    CHECK(served == 10);
  }());
}

TEST_SUITE_END();
