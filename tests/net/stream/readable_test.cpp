// readable(): waiting for bytes without taking them, alone and as a case of select().
//
// Method: each phase on a scripted engine; then real connections.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/select.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <poll.h>

#include <cerrno>
#include <exception>
#include <string>
#include <utility>
#include <variant>

#include "support/aborts.hpp"
#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

static_assert(selectable<readable_wait>);

namespace {

std::string in_words(const result<bool>& got) {
  if (!got) return got.error().message();
  return *got ? "readable" : "late";
}

// "readable", "late", the message of the error, or "cancelled"; with ", then cancelled".
task<std::string> outcome_of_readable(tcp_stream& from, time_limit timeout = forever) {
  std::string words;
  try {
    words = in_words(co_await as_result(from.readable(timeout)));
  } catch (const cancelled&) {
    words = "cancelled";
  }
  co_return co_await with_what_is_pending(words);
}

// The same for a select() with a queue, which may return "item 7".
task<std::string> choose(tcp_stream& from, queue<int>& items, time_limit timeout = forever) {
  std::string words;
  try {
    const auto taken = co_await as_result(select(from.readable(timeout), items.pop()));
    if (!taken) {
      words = taken.error().message();
    } else if (taken->index() == 0) {
      words = in_words(std::get<0>(*taken));
    } else {
      words = "item " + std::to_string(std::get<1>(*taken));
    }
  } catch (const cancelled&) {
    words = "cancelled";
  }
  co_return co_await with_what_is_pending(words);
}

operation& request(stage& s) { return s.engine.oldest(opcode::receive, stream_fd); }

}  // namespace

TEST_SUITE_BEGIN("readable");

TEST_CASE("readable waits until there are bytes, takes none, and reports them each time") {
  on_stage([](stage& s) -> task<> {
    const auto waiting = spawn(outcome_of_readable(s.stream));
    co_await settle();
    CHECK_FALSE(waiting.done());
    s.engine.deliver(request(s), "abc");
    std::string words = co_await waiting.get();
    CHECK(words == "readable");
    words = co_await outcome_of_readable(s.stream, 0s);
    CHECK(words == "readable");
    CHECK(s.stream.bytes_read() == 0);
    words = co_await outcome_of_receive(s, 0s);
    CHECK(words == "3 bytes");
    CHECK(s.engine.started(opcode::receive) == 1);
  });
}

TEST_CASE("readable reports an error or the end of the stream, which the read then reports again") {
  on_stage([](stage& s) -> task<> {
    const auto before_end = spawn(outcome_of_readable(s.stream));
    co_await settle();
    s.engine.deliver(request(s), "");
    std::string words = co_await before_end.get();
    CHECK(words == "readable");
    words = co_await outcome_of_receive(s, 0s);
    CHECK(words == "0 bytes");
    const auto before_reset = spawn(outcome_of_readable(s.stream));
    co_await settle();
    s.engine.complete(request(s), -ECONNRESET);
    words = co_await before_reset.get();
    CHECK(words == "readable");
    words = co_await outcome_of_receive(s, 0s);
    CHECK(words == "Connection reset by peer");
  });
}

TEST_CASE("readable repeats a request that ended without bytes") {
  on_stage([](stage& s) -> task<> {
    const auto waiting = spawn(outcome_of_readable(s.stream));
    for (const int error : {EINTR, EAGAIN, ECANCELED}) {
      co_await settle();
      s.engine.complete(request(s), -error);
    }
    co_await settle();
    CHECK_FALSE(waiting.done());
    s.engine.deliver(request(s), "abc");
    const std::string words = co_await waiting.get();
    CHECK(words == "readable");
  });
}

TEST_CASE("readable without a free buffer polls the system for bytes") {
  on_stage([](stage& s) -> task<> {
    const auto waiting = spawn(outcome_of_readable(s.stream));
    co_await settle();
    s.engine.complete(request(s), -ENOBUFS, {.nonempty = true});
    co_await settle();
    CHECK_FALSE(waiting.done());
    CHECK(request(s).poll_first);
    s.engine.answer(opcode::poll, POLLIN);
    s.engine.complete(request(s), -ENOBUFS);
    std::string words = co_await waiting.get();
    CHECK(words == "readable");
    CHECK(s.engine.started(opcode::receive) == 2);
  });
}

TEST_CASE("a limit that passes loses nothing, and the request remains for the next call") {
  on_stage([](stage& s) -> task<> {
    std::string words = co_await outcome_of_readable(s.stream, 5ms);
    CHECK(words == "late");
    words = co_await outcome_of_readable(s.stream, 0s);
    CHECK(words == "late");
    CHECK(s.engine.cancelled(opcode::receive) == 0);
    s.engine.deliver(request(s), "abc");
    words = co_await outcome_of_receive(s, forever);
    CHECK(words == "3 bytes");
    CHECK(s.engine.started(opcode::receive) == 1);
  });
}

TEST_CASE("a killed readable ends before its start, during its wait, or with its success") {
  on_stage([](stage& s) -> task<> {
    current().kill();
    std::string words = co_await outcome_of_readable(s.stream);
    CHECK(words == "cancelled");
    CHECK(s.engine.log().empty());
    const auto waiting = spawn(outcome_of_readable(s.stream, 1h));
    co_await settle();
    waiting.request_kill();
    words = co_await waiting.get();
    CHECK(words == "cancelled");
    const auto ready = spawn(outcome_of_readable(s.stream));
    co_await settle();
    s.engine.deliver(request(s), "abc");
    co_await sleep(0s);
    ready.request_kill();
    words = co_await ready.get();
    CHECK(words == "readable, then cancelled");
    words = co_await outcome_of_receive(s, 0s);
    CHECK(words == "3 bytes");
  });
}

TEST_CASE("closing a stream ends readable, and the number is closed after the request has ended") {
  on_stage([](stage& s) -> task<> {
    s.engine.hold_cancellations(true);
    const auto waiting = spawn(outcome_of_readable(s.stream, 1h));
    co_await settle();
    const auto closing = spawn([](stage& at) -> task<> { co_await at.stream.close(); }(s));
    std::string words = co_await waiting.get();
    CHECK(words == "closed by this program");
    CHECK_FALSE(closing.done());
    CHECK(s.engine.closes(stream_fd) == 0);
    s.engine.hold_cancellations(false);
    co_await closing.join();
    CHECK(s.engine.closes(stream_fd) == 1);
    words = co_await outcome_of_readable(s.stream);
    CHECK(words == "closed by this program");
  });
}

TEST_CASE("a second readable or read at the same time aborts and says so") {
  CHECK(aborts_with("a second read was begun while one was in flight on the same stream", [] {
    on_stage([](stage& s) -> task<> {
      spawn(outcome_of_readable(s.stream));
      spawn(outcome_of_receive(s, forever));
      co_await settle();
    });
  }));
}

// As a part of a select()

// row: JN-04
TEST_CASE("select() takes readable when bytes come first, and leaves the bytes in place") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    const auto chooser = spawn(choose(s.stream, items));
    co_await settle();
    CHECK(dump().find("select of readable from 127.0.0.1:4242 (fd 7), pop queue ") !=
          std::string::npos);
    s.engine.deliver(request(s), "abc");
    std::string words = co_await chooser.get();
    CHECK(words == "readable");
    CHECK(items.try_push(7));
    words = co_await choose(s.stream, items);
    CHECK(words == "readable");
    words = co_await outcome_of_receive(s, 0s);
    CHECK(words == "3 bytes");
    words = co_await choose(s.stream, items);
    CHECK(words == "item 7");
  });
}

// row: JN-04
TEST_CASE("bytes that arrive after another case was taken are kept for the next call") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    const auto chooser = spawn(choose(s.stream, items));
    co_await settle();
    SUBCASE("in a later turn") {
      CHECK(items.try_push(7));
      const std::string words = co_await chooser.get();
      CHECK(words == "item 7");
      s.engine.deliver(request(s), "abc");
    }
    SUBCASE("in the same turn") {
      s.engine.deliver(request(s), "abc");
      CHECK(items.try_push(7));
      const std::string words = co_await chooser.get();
      CHECK(words == "item 7");
    }
    SUBCASE("after a kill") {
      chooser.request_kill();
      s.engine.deliver(request(s), "abc");
      const std::string words = co_await chooser.get();
      CHECK(words == "cancelled");
    }
    CHECK(s.engine.cancelled(opcode::receive) == 0);
    const std::string words = co_await outcome_of_receive(s, forever);
    CHECK(words == "3 bytes");
  });
}

// row: JN-04
TEST_CASE("select() takes readable when its limit passes or its stream is closed") {
  on_stage([](stage& s) -> task<> {
    queue<int> items;
    std::string words = co_await choose(s.stream, items, 5ms);
    CHECK(words == "late");
    const auto chooser = spawn(choose(s.stream, items, 1h));
    co_await settle();
    SUBCASE("closed") {
      co_await s.stream.close();
      CHECK(s.engine.closes(stream_fd) == 1);
      words = co_await choose(s.stream, items);
      CHECK(words == "closed by this program");
    }
    SUBCASE("closed while bytes were arriving") {
      s.engine.deliver(request(s), "abc");
      co_await s.stream.close();
    }
    SUBCASE("destroyed") { tcp_stream(std::move(s.stream)); }
    words = co_await chooser.get();
    CHECK(words == "closed by this program");
    CHECK(items.try_push(1));
    CHECK(items.size() == 1);
    co_await settle();
    CHECK(s.engine.closes(stream_fd) == 1);
  });
}

// row: JN-04
TEST_CASE("the end of a stream ends its own case, not the one whose limit passes first") {
  on_stage([](stage& s) -> task<> {
    const auto chooser = spawn(
        [](tcp_stream& from) -> task<> { co_await select(sleep(1h), from.readable()); }(s.stream));
    co_await settle();
    co_await s.stream.close();
    co_await chooser.join();
    CHECK(chooser.result() == outcome::error);
    CHECK_THROWS_WITH(std::rethrow_exception(chooser.error()), "readable: closed by this program");
  });
}

// row: JN-04
TEST_CASE("a case that was given up before it waited has released its stream") {
  on_stage([](stage& s) -> task<> {
    event door;
    door.set();
    const auto taken = co_await select(s.stream.readable(), door.wait());
    CHECK(taken.index() == 1);
    CHECK(s.engine.log().empty());
    co_await s.stream.close();
    CHECK(s.engine.closes(stream_fd) == 1);
  });
}

// Real connections

// row: JN-04
TEST_CASE("a loop over two connections and a stop serves both, loses nothing, and ends") {
  on_schedulers([]() -> task<> {
    auto [a, a_far] = co_await connected_pair();
    auto [b, b_far] = co_await connected_pair();
    event stop;
    std::string log;
    const auto serve = [&]() -> task<> {
      for (;;) {
        const auto taken = co_await select(stop.wait(), a.readable(), b.readable());
        if (taken.index() == 0) co_return;
        const buffer data = co_await (taken.index() == 1 ? a : b).receive(0s);
        log += data.text();
      }
    };
    const fiber<> server = spawn(serve);
    std::string sent;
    for (int i = 0; i < 20; ++i) {
      const std::string piece = std::to_string(i) + " ";
      co_await (i % 3 == 0 ? a_far : b_far).write_all(piece);
      sent += piece;
      while (log.size() < sent.size()) co_await sleep(0s);
    }
    stop.set();
    co_await server.join();
    CHECK(log == sent);
    co_await a_far.write_all("left");
    const std::size_t count = co_await a.read_some(std::as_writable_bytes(std::span(log)));
    CHECK(count == 4);
  });
}

TEST_SUITE_END();
