// reader: whole pieces however the bytes arrive, a limit, and no byte lost by an interrupted call.
//
// Method: a scripted engine delivers the bytes in chosen portions, mostly one byte at a time, to a
// reader of a connection and to one of a standard stream; a simple model on a string predicts the
// results of random calls, portions and cancellations. Real sockets and pipes at the end.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/reader.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <malloc.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "reader_model.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/loopback.hpp"
#include "support/random.hpp"
#include "support/schedulers.hpp"
#include "support/sockets.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Runs `body(stage, reader, source)` for a reader of each kind.
template <class F>
void for_each_source(std::size_t limit, F body) {
  for (const source& from : sources) {
    CAPTURE(from.name);
    on_stage([&](stage& s) -> task<> {
      if (from.fd == stream_fd) {
        reader in(s.stream, limit);
        co_await body(s, in, from);
      } else {
        reader in(s.standard, limit);
        co_await body(s, in, from);
      }
    });
  }
}

template <class F>
void for_each_source(F body) {
  for_each_source(reader::default_limit, body);
}

// One of the calls that wait. All except read_some take exactly "abcd\r\n".
struct reader_call {
  std::string_view name;
  std::string_view success;
  task<std::string> (*outcome)(reader&, time_limit);
};

task<std::string> outcome_of_line(reader& in, time_limit timeout) { return line_of(in, timeout); }
task<std::string> outcome_of_until(reader& in, time_limit timeout) {
  return until_of(in, "\r\n", timeout);
}
task<std::string> outcome_of_exact(reader& in, time_limit timeout) {
  return exact_of(in, 6, timeout);
}
task<std::string> outcome_of_peek(reader& in, time_limit timeout) {
  std::string words = co_await peek_of(in, 6, timeout);
  if (words.starts_with("'")) in.consume(6);
  co_return words;
}

constexpr std::array reader_calls{
    reader_call{"read_line", "'abcd'", &outcome_of_line},
    reader_call{"read_until", "'abcd'", &outcome_of_until},
    reader_call{"read_exact", "'abcd\r\n'", &outcome_of_exact},
    reader_call{"peek", "'abcd\r\n'", &outcome_of_peek},
};
constexpr std::string_view piece = "abcd\r\n";

// Runs `body(stage, reader, source, call)` for each call on each kind of reader.
template <class F>
void for_each_call(F body) {
  for (const reader_call& call : reader_calls) {
    CAPTURE(call.name);
    for_each_source([&](stage& s, reader& in, const source& from) -> task<> {
      return body(s, in, from, call);
    });
  }
}

// Makes the call again on a reader that holds the first `had` bytes of the piece; true if it works.
task<bool> works_again(stage& s, reader& in, const source& from, const reader_call& call,
                       std::size_t had) {
  const auto again = spawn(call.outcome(in, forever));
  co_await settle();
  if (again.done() || !from.is_waited_for(s)) co_return false;
  from.bring(s, piece.substr(had));
  const std::string words = co_await again.get();
  co_return words == call.success;
}

}  // namespace

TEST_SUITE_BEGIN("reader");

// Pieces

TEST_CASE("a line is returned without the LF or CR LF that ends it") {
  for_each_source([](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, "one\ntwo\r\n\n\r\n\rthree\r\r\n");
    for (const char* expected : {"'one'", "'two'", "''", "''", "'\rthree\r'", "end"}) {
      const std::string words = co_await line_of(in);
      CHECK(words == expected);
    }
  });
}

TEST_CASE("a loop over the lines ends with the stream, without an exception") {
  for_each_source([](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, "one\ntwo\nthree");
    std::string all;
    while (const auto line = co_await in.read_line()) all += std::string(*line) + ';';
    CHECK(all == "one;two;three;");
  });
}

TEST_CASE("the bytes after the last LF are a line, a CR included, followed by the end") {
  for_each_source([](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, "a\nb\r");
    for (const char* expected : {"'a'", "'b\r'", "end", "end"}) {
      const std::string words = co_await line_of(in);
      CHECK(words == expected);
    }
  });
}

TEST_CASE("read_until returns the bytes before its delimiter, and drops the delimiter") {
  for_each_source([](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, "k: v\r\nk: w\r\n\r\n\r\n\r\nbody");
    std::string words = co_await until_of(in, "\r\n\r\n");
    CHECK(words == "'k: v\r\nk: w'");
    words = co_await until_of(in, "\r\n\r\n");
    CHECK(words == "''");
    words = co_await until_of(in, "d");
    CHECK(words == "'bo'");
    words = co_await until_of(in, "y");
    CHECK(words == "''");
    words = co_await until_of(in, "y");
    CHECK(words == "end");
  });
}

TEST_CASE("a delimiter that overlaps with itself is found where it first ends") {
  for (const std::string_view delimiter : {"aab", "aa", "abab", "\n\n"}) {
    for_each_source([delimiter](stage& s, reader& in, const source& from) -> task<> {
      const std::string all = "x" + std::string(delimiter.substr(0, 1)) + std::string(delimiter);
      const auto fiber = spawn(until_of(in, delimiter));
      for (const char c : all) {
        co_await settle();
        if (!fiber.done()) from.bring(s, std::string(1, c));
      }
      const std::string words = co_await fiber.get();
      CHECK(words == "'" + all.substr(0, all.find(delimiter)) + "'");
    });
  }
}

TEST_CASE("read_until reports a stream that ends before the delimiter, and the bytes stay") {
  for_each_source([](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, "ab\r");
    for (int i = 0; i < 2; ++i) {
      const std::string words = co_await until_of(in, "\r\n");
      CHECK(words == too_short);
    }
    const std::string words = co_await some_of(in, 10);
    CHECK(words == "'ab\r'");
  });
}

TEST_CASE("read_exact takes the given number of bytes, and none for 0") {
  for_each_source([](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, "ab\ncdef");
    std::string words = co_await exact_of(in, 0);
    CHECK(words == "''");
    CHECK_FALSE(from.is_waited_for(s));
    words = co_await exact_of(in, 4);
    CHECK(words == "'ab\nc'");
    for (int i = 0; i < 2; ++i) {
      words = co_await exact_of(in, 4);
      CHECK(words == too_short);
    }
    words = co_await exact_of(in, 3);
    CHECK(words == "'def'");
    words = co_await exact_of(in, 1);
    CHECK(words == too_short);
  });
}

TEST_CASE("peek shows buffered bytes and takes none, and returns fewer than requested at the end") {
  for_each_source([](stage& s, reader& in, const source& from) -> task<> {
    CHECK(in.peek().empty());
    from.bring_and_end(s, "abcd");
    std::string words = co_await peek_of(in, 2);
    CHECK(words == "'abcd'");
    CHECK(in.peek() == "abcd");
    in.consume(1);
    CHECK(in.peek() == "bcd");
    words = co_await peek_of(in, 4);
    CHECK(words == "'bcd'");
    in.consume(3);
    CHECK(in.peek().empty());
    for (int i = 0; i < 2; ++i) {
      words = co_await peek_of(in, 1);
      CHECK(words == "''");
    }
    words = co_await line_of(in);
    CHECK(words == "end");
  });
}

TEST_CASE("raw bytes after lines are read without losing buffered bytes") {
  for_each_source([](stage& s, reader& in, const source& from) -> task<> {
    const auto fiber = spawn(line_of(in));
    co_await settle();
    from.bring(s, "GE");
    co_await settle();
    from.bring(s, "T\nbody");
    std::string words = co_await fiber.get();
    CHECK(words == "'GET'");
    words = co_await some_of(in, 3);
    CHECK(words == "'bod'");
    words = co_await some_of(in, 3);
    CHECK(words == "'y'");
    const auto raw = spawn(some_of(in, 3));
    co_await settle();
    CHECK_FALSE(raw.done());
    from.bring(s, "more");
    words = co_await raw.get();
    CHECK(words == "'mor'");
  });
}

TEST_CASE("read_some takes bytes from both of the reader's buffers") {
  for_each_source([](stage& s, reader& in, const source& from) -> task<> {
    const auto fiber = spawn(peek_of(in, 4));
    co_await settle();
    from.bring(s, "ab");
    co_await settle();
    from.bring(s, "cdef");
    std::string words = co_await fiber.get();
    CHECK(words == "'abcd'");
    CHECK(in.peek() == "abcd");
    words = co_await some_of(in, 10);
    CHECK(words == "'abcdef'");
  });
}

TEST_CASE("an emptied buffer returns at the next call, even for a closed stream") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream);
    s.engine.on_start = [&](operation&) { sources[0].bring(s, "one\n"); };
    std::string words = co_await line_of(in);
    CHECK(words == "'one'");
    co_await s.stream.close();
    CHECK(s.engine.buffers().on_lease() == 1);
    words = co_await line_of(in);
    CHECK(words == "closed by this program");
    CHECK(s.engine.buffers().on_lease() == 0);
  });
}

// Portions

TEST_CASE("a piece that arrives byte by byte is returned whole, and holds no buffer until then") {
  for_each_call([](stage& s, reader& in, const source& from, const reader_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(in, forever));
    co_await settle();
    for (const char c : piece) {
      CHECK_FALSE(fiber.done());
      CHECK(s.engine.buffers().on_lease() == 0);
      from.bring(s, std::string(1, c));
      co_await settle();
    }
    const std::string words = co_await fiber.get();
    CHECK(words == call.success);
    CHECK(in.peek().empty());
    CHECK(s.engine.buffers().on_lease() == 0);
  });
}

TEST_CASE("a piece in one lent buffer is not copied, and the buffer returns after it") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream);
    s.engine.on_start = [&](operation&) { sources[0].bring(s, "one\ntwo\n"); };
    const buffer_pool& pool = s.engine.buffers();
    const auto first = co_await in.read_line();
    const std::size_t before = allocations();
    const auto second = co_await in.read_exact(4);
    CHECK(allocations() == before);
    CHECK(*first == "one");  // the buffer is the same
    CHECK(second == "two\n");
    const auto* const where = reinterpret_cast<const std::byte*>(second.data());
    bool is_lent = false;
    for (int id = 0; id < static_cast<int>(pool.count()); ++id) is_lent |= where == pool.at(id) + 4;
    CHECK(is_lent);
    CHECK(pool.on_lease() == 1);
    CHECK(in.peek().empty());
    CHECK(pool.on_lease() == 0);
  });
}

TEST_CASE("other fibers can use all buffers while one waits for the rest of a line") {
  for_each_source([](stage& s, reader& in, const source& from) -> task<> {
    const auto fiber = spawn(line_of(in));
    co_await settle();
    from.bring(s, "one\ntw");
    std::string words = co_await fiber.get();
    CHECK(words == "'one'");
    const auto waiting = spawn(line_of(in));
    co_await settle();
    CHECK(s.engine.buffers().on_lease() == 0);
    from.bring(s, "o\n");
    words = co_await waiting.get();
    CHECK(words == "'two'");
  });
}

TEST_CASE("a line arrives in its own memory when all buffers are out") {
  for (const std::string_view tail : {"o\n", ""}) {
    scripted_engine engine(1);
    auto body = [tail](stage& s) -> task<> {
      const std::int32_t taken = s.engine.take_buffer();
      s.engine.answer(opcode::receive_now, [tail](operation& op) {
        std::memcpy(op.data, tail.data(), tail.size());
        return static_cast<std::int32_t>(tail.size());
      });
      reader in(s.stream);
      const auto fiber = spawn(line_of(in));
      co_await settle();
      s.engine.complete(sources[0].in_flight(s), -ENOBUFS);
      std::string words = co_await fiber.get();
      CHECK(words == (tail.empty() ? "end" : "'o'"));

      s.engine.answer(opcode::receive_now, -ECONNRESET);
      const auto fails = spawn(line_of(in));
      co_await settle();
      s.engine.complete(sources[0].in_flight(s), -ENOBUFS);
      words = co_await fails.get();
      CHECK(words == "Connection reset by peer");

      s.engine.answer(opcode::receive_now, -EAGAIN);
      const auto waits = spawn(line_of(in));
      co_await settle();
      s.engine.complete(sources[0].in_flight(s), -ENOBUFS);
      co_await settle();
      CHECK_FALSE(waits.done());
      CHECK(sources[0].in_flight(s).poll_first);
      s.engine.recycle_buffer(taken);
      sources[0].bring(s, "x\n");
      words = co_await waits.get();
      CHECK(words == "'x'");
    };
    detail::run_on(engine, on_new_stage(engine, body), {}, std::source_location::current());
  }
}

// Without waiting

TEST_CASE("try_read_line takes whole lines that have arrived, and never waits") {
  on_stage([](stage& s) -> task<> {
    const source& from = sources[0];
    reader in(s.stream, 8);
    CHECK_FALSE(in.try_read_line());
    s.engine.on_start = [&](operation&) { from.bring(s, "one\ntwo\r\nthr"); };
    const std::string words = co_await line_of(in);
    CHECK(words == "'one'");
    CHECK(in.try_read_line() == "two");
    CHECK_FALSE(in.try_read_line());
    from.bring(s, "ee\n");
    from.bring(s, "four\nand much more\nfive\n");
    co_await settle();
    CHECK(in.try_read_line() == "three");
    CHECK(in.try_read_line() == "four");
    CHECK_FALSE(in.try_read_line());  // too long
    std::string said = co_await line_of(in);
    CHECK(said == too_long);
    CHECK(in.try_read_line() == "five");
    CHECK(s.engine.started(opcode::receive) == 1);
    from.bring(s, "last");
    from.bring(s, "");
    co_await settle();
    CHECK_FALSE(in.try_read_line());
    CHECK(in.peek() == "last");
    said = co_await line_of(in);
    CHECK(said == "'last'");
    said = co_await line_of(in);
    CHECK(said == "end");
  });
}

TEST_CASE("try_read_line and peek read no more from the system than they need") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream, 8);
    s.engine.on_start = [&](operation&) { sources[0].bring(s, "one\n"); };
    const std::string words = co_await line_of(in);
    CHECK(words == "'one'");
    for (int i = 0; i < 3; ++i) sources[0].bring(s, std::string(20, 'x'));
    co_await settle();
    CHECK(in.peek() == std::string(20, 'x'));
    CHECK_FALSE(in.try_read_line());
    CHECK(s.engine.buffers_free() == 1);  // of 4
  });
}

TEST_CASE("a buffered line costs no allocation, and other fibers get a turn after 128 of them") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream);
    s.engine.on_start = [&](operation&) {
      for (int i = 0; i < 3; ++i) sources[0].bring(s, std::string(60, '\n'));
    };
    co_await in.read_line();
    const auto other = spawn([]() -> task<> { co_return; });
    const std::size_t before = allocations();
    int lines = 0;
    while (!other.done() && lines < 170) {
      co_await in.read_line();
      ++lines;
    }
    CHECK(lines > 100);
    CHECK(lines <= 128);
    CHECK(allocations() == before);
    CHECK(s.engine.started(opcode::receive) == 1);
  });
}

// The limit

TEST_CASE("a piece as long as the limit is returned, and one byte more is an error at once") {
  for (const std::string_view delimiter : {"\n", "\r\n", "end"}) {
    for_each_source(4, [delimiter](stage& s, reader& in, const source& from) -> task<> {
      CHECK(in.limit() == 4);
      auto fiber = spawn(until_of(in, delimiter));
      for (const char c : "1234" + std::string(delimiter)) {
        co_await settle();
        CHECK_FALSE(fiber.done());
        from.bring(s, std::string(1, c));
      }
      std::string words = co_await fiber.get();
      CHECK(words == "'1234'");
      fiber = spawn(until_of(in, delimiter));
      for (std::size_t i = 0; i < 4 + delimiter.size(); ++i) {
        co_await settle();
        CHECK_FALSE(fiber.done());
        from.bring(s, "x");
      }
      words = co_await fiber.get();
      CHECK(words == too_long);
    });
  }
}

TEST_CASE("the portions in which a line arrives do not decide whether it is too long") {
  for_each_source(4, [](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, "12345\nabcd\n1234\r\nabc\r\n12345");
    for (const char* expected : {too_long, "'abcd'", too_long, "'abc'", too_long, "end"}) {
      const std::string words = co_await line_of(in);
      CHECK(words == expected);
    }
  });
}

TEST_CASE("the next call drops the rest of a line that is too long, whichever call it is") {
  const auto after_too_long = [](auto next, std::string_view expected) {
    for (const std::string_view delimiter : {"\n", "\r\n"}) {
      for_each_source(4, [&](stage& s, reader& in, const source& from) -> task<> {
        auto fiber = spawn(until_of(in, delimiter));
        co_await settle();
        from.bring(s, "123456");
        std::string words = co_await fiber.get();
        CHECK(words == too_long);
        CHECK(in.peek().empty());
        CHECK_FALSE(in.try_read_line());
        fiber = spawn(next(in));
        for (const char c : "789\r" + std::string(delimiter)) {
          co_await settle();
          CHECK_FALSE(fiber.done());
          from.bring(s, std::string(1, c));
        }
        co_await settle();
        CHECK_FALSE(fiber.done());
        from.bring(s, "ok\n");
        words = co_await fiber.get();
        CHECK(words == expected);
      });
    }
  };
  after_too_long([](reader& in) { return line_of(in); }, "'ok'");
  after_too_long([](reader& in) { return until_of(in, "k"); }, "'o'");
  after_too_long([](reader& in) { return exact_of(in, 2); }, "'ok'");
  after_too_long([](reader& in) { return peek_of(in, 3); }, "'ok\n'");
  after_too_long([](reader& in) { return some_of(in, 9); }, "'ok\n'");
}

TEST_CASE("the end of the stream also ends the part that is dropped") {
  for (const std::string_view delimiter : {"\n", "\r\n"}) {
    for_each_source(4, [&](stage& s, reader& in, const source& from) -> task<> {
      auto fiber = spawn(until_of(in, delimiter));
      co_await settle();
      from.bring(s, "123456");
      std::string words = co_await fiber.get();
      CHECK(words == too_long);
      fiber = spawn(until_of(in, delimiter));
      co_await settle();
      from.bring(s, "78\r");
      co_await settle();
      from.bring(s, "");
      words = co_await fiber.get();
      CHECK(words == "end");
    });
  }
}

TEST_CASE("a count that is too large is an error, and takes no bytes") {
  for_each_source(4, [](stage& s, reader& in, const source& from) -> task<> {
    std::string words = co_await exact_of(in, 5);
    CHECK(words == too_long);
    words = co_await peek_of(in, 5);
    CHECK(words == too_long);
    CHECK_FALSE(from.is_waited_for(s));
    from.bring_and_end(s, "12345");
    words = co_await exact_of(in, 4);
    CHECK(words == "'1234'");
    words = co_await peek_of(in, 4);
    CHECK(words == "'5'");
  });
}

TEST_CASE("a line that does not end is dropped as it arrives") {
  for_each_source(200, [](stage& s, reader& in, const source& from) -> task<> {
    const auto fiber = spawn(line_of(in));
    for (int i = 0; i < 4; ++i) {
      co_await settle();
      CHECK_FALSE(fiber.done());
      from.bring(s, std::string(60, 'x'));
    }
    std::string words = co_await fiber.get();
    CHECK(words == too_long);
    const auto next = spawn(line_of(in));
    for (int i = 0; i < 100; ++i) {
      co_await settle();
      from.bring(s, std::string(60, 'x'));
    }
    co_await settle();
    CHECK(s.engine.buffers().on_lease() == 0);
    from.bring(s, "\nok\n");
    words = co_await next.get();
    CHECK(words == "'ok'");
  });
}

TEST_CASE("too_long is thrown as a system_error that names the call") {
  for_each_source(1, [](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, "12\n");
    std::string said;
    try {
      co_await in.read_line();
    } catch (const std::system_error& error) {
      said = error.what();
      CHECK(error.code() == errc::too_long);
    }
    CHECK(said == std::string("read_line: ") + too_long);
  });
}

// Errors

TEST_CASE("a system error is returned unchanged, and the reader keeps its bytes and stays usable") {
  for_each_call([](stage& s, reader& in, const source& from, const reader_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(in, forever));
    co_await settle();
    from.bring(s, "abc");
    co_await settle();
    s.engine.complete(from.in_flight(s), -ECONNRESET);
    const std::string words = co_await fiber.get();
    CHECK(words == "Connection reset by peer");
    CHECK(in.peek() == "abc");
    const bool works = co_await works_again(s, in, from, call, 3);
    CHECK(works);
  });
}

TEST_CASE("an error between two calls is reported by the next one that has to wait") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream);
    s.engine.on_start = [&](operation&) { sources[0].bring(s, "one\ntwo\n"); };
    std::string words = co_await line_of(in);
    CHECK(words == "'one'");
    s.engine.complete(sources[0].in_flight(s), -ECONNRESET);
    co_await settle();
    words = co_await line_of(in);
    CHECK(words == "'two'");
    words = co_await line_of(in);
    CHECK(words == "Connection reset by peer");
  });
}

TEST_CASE("a wait that a signal interrupted, or that found nothing, continues") {
  for (const int error : {EINTR, EAGAIN}) {
    for_each_call(
        [error](stage& s, reader& in, const source& from, const reader_call& call) -> task<> {
          const auto fiber = spawn(call.outcome(in, forever));
          for (int round = 0; round < 2; ++round) {
            co_await settle();
            s.engine.complete(from.in_flight(s), -error);
            co_await settle();
            CHECK_FALSE(fiber.done());
            if (from.code == opcode::receive || error == EINTR) continue;
            // A read(2) would fail again at once, so the descriptor is polled. The read reports its
            // error.
            operation& poll = s.engine.oldest(opcode::poll, standard_fd);
            CHECK(poll.poll.events == POLLIN);
            s.engine.complete(poll, round == 0 ? POLLIN : -EIO);
            co_await settle();
          }
          from.bring(s, piece);
          const std::string words = co_await fiber.get();
          CHECK(words == call.success);
        });
  }
}

TEST_CASE("closing the stream ends the waiting call, and leaves the arrived bytes readable") {
  for_each_call([](stage& s, reader& in, const source& from, const reader_call& call) -> task<> {
    if (from.fd != stream_fd) co_return;
    const auto fiber = spawn(call.outcome(in, forever));
    co_await settle();
    from.bring(s, "ab");
    co_await settle();
    co_await s.stream.close();
    std::string words = co_await fiber.get();
    CHECK(words == "closed by this program");
    words = co_await call.outcome(in, forever);
    CHECK(words == "closed by this program");
    CHECK_FALSE(in.try_read_line());
    words = co_await some_of(in, 8);
    CHECK(words == "'ab'");
    CHECK(in.peek().empty());
  });
}

TEST_CASE("a reader becomes unusable when a direct call on its stream is interrupted") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream);
    s.engine.on_start = [&](operation&) { sources[0].bring(s, "one\n"); };
    std::string words = co_await line_of(in);
    CHECK(words == "'one'");
    // The request of that line remains for the next read.
    const auto fiber = spawn(outcome_of_read_exact(s, 5ms));
    co_await settle();
    sources[0].bring(s, "x");
    words = co_await fiber.get();
    CHECK(words == "timed out");
    words = co_await line_of(in);
    CHECK(words.starts_with("an earlier call in this direction was cut short"));
    CHECK_FALSE(in.try_read_line());
    CHECK(in.peek().empty());
  });
}

TEST_CASE("a stream can be moved while a call waits, and between calls") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream);
    const auto fiber = spawn(line_of(in));
    co_await settle();
    const tcp_stream moved = std::move(s.stream);
    sources[0].bring(s, "one\n");
    std::string words = co_await fiber.get();
    CHECK(words == "'one'");
    CHECK(moved.bytes_read() == 4);
  });
}

// Cancellation

TEST_CASE("a fiber that was killed before its call takes nothing, not even buffered bytes") {
  for_each_call([](stage& s, reader& in, const source& from, const reader_call& call) -> task<> {
    current().kill();
    std::string words = co_await call.outcome(in, forever);
    CHECK(words == "cancelled");
    CHECK(s.engine.started(from.code) == 0);
    from.bring_and_end(s, std::string("1") + std::string(piece));
    words = co_await exact_of(in, 1);
    CHECK(words == "'1'");
    current().kill();
    words = co_await call.outcome(in, forever);
    CHECK(words == "cancelled");
    words = co_await call.outcome(in, forever);
    CHECK(words == call.success);
  });
}

TEST_CASE("a call that is killed, timed out or given up after any byte loses none") {
  enum class way { kill, limit, scope };
  for (const way how : {way::kill, way::limit, way::scope}) {
    for_each_call([how](stage& s, reader& in, const source& from,
                        const reader_call& call) -> task<> {
      for (std::size_t had = 0; had < piece.size(); ++had) {
        auto inner = [&]() -> task<> {
          const std::string words = co_await call.outcome(in, how == way::limit ? 5ms : forever);
          CHECK(words == (how == way::limit ? "timed out" : "cancelled, then cancelled"));
        };
        auto outer = [&]() -> task<> {
          if (how == way::scope) {
            co_await with_timeout(5ms, inner());
          } else {
            co_await inner();
          }
        };
        const std::size_t before = s.engine.cancelled(from.code);
        const auto fiber = spawn(outer);
        co_await settle();
        if (how == way::kill) {
          fiber.request_kill();
          fiber.request_kill();
        }
        co_await sleep(6ms);
        co_await fiber.join();
        CHECK(s.engine.cancelled(from.code) == before + 1);
        if (had + 1 == piece.size()) break;
        // One byte, which may arrive while no call waits.
        const auto next = spawn(call.outcome(in, forever));
        co_await settle();
        from.bring(s, piece.substr(had, 1));
        co_await settle();
        CHECK_FALSE(next.done());
        next.request_kill();
        const std::string words = co_await next.get();
        CHECK(words == "cancelled");
        CHECK(in.peek() == piece.substr(0, had + 1));
      }
      const bool works = co_await works_again(s, in, from, call, piece.size() - 1);
      CHECK(works);
    });
  }
}

TEST_CASE("a call ends after its operation, whose bytes are kept") {
  for_each_call([](stage& s, reader& in, const source& from, const reader_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto killed = spawn(call.outcome(in, 5ms));
    co_await sleep(6ms);
    CHECK_FALSE(killed.done());
    from.bring(s, "abc");
    s.engine.hold_cancellations(false);
    std::string words = co_await killed.get();
    CHECK(words == "timed out");
    CHECK(in.peek() == "abc");

    s.engine.hold_cancellations(true);
    const auto fails = spawn(call.outcome(in, forever));
    co_await settle();
    fails.request_kill();
    co_await settle();
    s.engine.complete(from.in_flight(s), -EIO);
    words = co_await fails.get();
    CHECK(words == "cancelled");
    if (from.fd == stream_fd) {  // a socket reports an error once, a file each time
      words = co_await spawn(call.outcome(in, forever)).get();
      CHECK(words == "Input/output error");
    }

    const auto retried = spawn(call.outcome(in, forever));
    co_await settle();
    retried.request_kill();
    co_await settle();
    s.engine.complete(from.in_flight(s), -EINTR);
    words = co_await retried.get();
    CHECK(words == "cancelled");
    s.engine.hold_cancellations(false);
    const bool works = co_await works_again(s, in, from, call, 3);
    CHECK(works);
  });
}

TEST_CASE("a read that is killed while its descriptor is polled takes nothing") {
  for (const reader_call& call : reader_calls) {
    CAPTURE(call.name);
    on_stage([&call](stage& s) -> task<> {
      reader in(s.standard);
      const auto fiber = spawn(call.outcome(in, forever));
      co_await settle();
      s.engine.complete(sources[1].in_flight(s), -EAGAIN);
      co_await settle();
      fiber.request_kill();
      const std::string words = co_await fiber.get();
      CHECK(words == "cancelled");
      CHECK(s.engine.cancelled(opcode::poll) == 1);
      const bool works = co_await works_again(s, in, sources[1], call, 0);
      CHECK(works);
    });
  }
}

TEST_CASE("success wins: a call whose piece had arrived when it was killed returns it") {
  for_each_call([](stage& s, reader& in, const source& from, const reader_call& call) -> task<> {
    const std::string both = std::string(call.success) + ", then cancelled";
    // The completion has not been delivered yet.
    const auto undelivered = spawn(call.outcome(in, forever));
    co_await settle();
    from.bring(s, piece);
    undelivered.request_kill();
    std::string words = co_await undelivered.get();
    CHECK(words == both);
    // It has been delivered, and the fiber is queued to run.
    const auto delivered = spawn(call.outcome(in, forever));
    co_await settle();
    from.bring(s, piece);
    co_await sleep(0s);
    delivered.request_kill();
    words = co_await delivered.get();
    CHECK(words == both);
    // It arrives although it was cancelled.
    s.engine.hold_cancellations(true);
    const auto late = spawn(call.outcome(in, 5ms));
    co_await sleep(6ms);
    from.bring(s, piece);
    words = co_await late.get();
    CHECK(words == call.success);
    s.engine.hold_cancellations(false);
  });
}

TEST_CASE("a call whose limit has passed succeeds if it need not wait") {
  for_each_call([](stage& s, reader& in, const source& from, const reader_call& call) -> task<> {
    std::string words = co_await call.outcome(in, 0s);
    CHECK(words == "timed out");
    s.engine.on_start = [&](operation&) { from.bring(s, piece); };
    if (from.is_waited_for(s)) from.bring(s, piece);
    words = co_await call.outcome(in, 0s);
    CHECK(words == call.success);
  });
}

TEST_CASE("a limit that passes is thrown as timed_out, and names the call") {
  for_each_source([](stage&, reader& in, const source&) -> task<> {
    std::string said;
    try {
      co_await in.read_line(1ms);
    } catch (const timed_out& error) {
      said = error.what();
    }
    CHECK(said == "read_line: timed out");
  });
}

TEST_CASE("dump shows what a call waits for") {
  for_each_source([](stage&, reader& in, const source& from) -> task<> {
    const auto fiber = spawn(line_of(in));
    co_await settle();
    const std::string text = dump();
    const std::size_t wait = text.find("read_line ");
    REQUIRE(wait != text.npos);
    CHECK(text.substr(wait, 60).find("fd " + std::to_string(from.fd)) != text.npos);
    fiber.request_kill();
    co_await fiber.join();
  });
}

// Random calls against a model

namespace {

constexpr std::array<std::string_view, 4> delimiters{"\n", "\r\n", "\r\n\r\n", "aab"};

std::string random_text(random_numbers& chance) {
  std::string made;
  const std::size_t size = chance.below(300);
  while (made.size() < size) {
    made += chance.once_in(4) ? std::string(delimiters[chance.below(delimiters.size())])
                              : std::string(1, "ab\r\nc"[chance.below(5)]);
  }
  return made;
}

// Delivers the text in random portions on request, or interrupts the call instead.
task<> bring_randomly(stage& s, const source& from, std::string_view text, random_numbers& chance) {
  for (;;) {
    co_await settle();
    if (!from.is_waited_for(s)) {
      co_await sleep(1ms);
    } else if (chance.once_in(3)) {
      co_await sleep(11ms);  // the limit of the call passes
    } else {
      const std::size_t size = std::min(chance.below(12) + 1, text.size());
      from.bring(s, text.substr(0, size));
      text.remove_prefix(size);
    }
  }
}

// Repeats the call until it is not interrupted.
template <class Call>
task<std::string> insistently(Call call) {
  for (;;) {
    std::string words = co_await call(10ms);
    if (words != "timed out") co_return words;
  }
}

task<> compare_with_model(stage& s, reader& in, const source& from, random_numbers& chance) {
  const std::string text = random_text(chance);
  reader_model expected{text, in.limit()};
  const auto feeder = spawn(&bring_randomly, std::ref(s), std::cref(from), text, std::ref(chance));
  for (int calls = 0; calls < 200; ++calls) {
    std::string words;
    std::string wanted;
    const std::string_view delimiter = delimiters[chance.below(delimiters.size())];
    const std::size_t count = chance.below(in.limit() + 2);
    switch (chance.below(4)) {
      case 0:
        wanted = expected.until("\n", true);
        words = co_await insistently([&](time_limit timeout) { return line_of(in, timeout); });
        break;
      case 1:
        wanted = expected.until(delimiter, false);
        words = co_await insistently(
            [&](time_limit timeout) { return until_of(in, delimiter, timeout); });
        break;
      case 2:
        wanted = expected.exact(count);
        words =
            co_await insistently([&](time_limit timeout) { return exact_of(in, count, timeout); });
        break;
      default:
        if (const auto line = in.try_read_line()) {
          words = "'" + std::string(*line) + "'";
          wanted = expected.until("\n", true);
        }
    }
    REQUIRE(words == wanted);
    if (words == "end") break;
  }
  feeder.request_kill();
  co_await feeder.join();
}

}  // namespace

TEST_CASE("random calls, portions and cancellations return what a simple model predicts") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    random_numbers chance(seed);
    for_each_source(chance.below(30) + 1, [&](stage& s, reader& in, const source& from) -> task<> {
      return compare_with_model(s, in, from, chance);
    });
  }
}

// Real descriptors

namespace {

// Writes the text in small portions, so that lines are split at every position.
task<> write_in_portions(tcp_stream& to, std::string_view text, std::size_t portion) {
  while (!text.empty()) {
    co_await to.write_all(text.substr(0, portion));
    text.remove_prefix(std::min(portion, text.size()));
  }
  to.shutdown_write();
}

}  // namespace

TEST_CASE("lines arrive over a connection as they were written, however they were split") {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += pattern(static_cast<std::size_t>(i % 97)) + "\r\n";
  for (const std::size_t portion : {7u, 1000u, 65536u, 1u << 20}) {
    on_schedulers([&text, portion]() -> task<> {
      connection pair = co_await connected_pair();
      const auto writing =
          spawn(&write_in_portions, std::ref(pair.near), std::string_view(text), portion);
      reader in(pair.far);
      std::string got;
      while (const auto line = co_await in.read_line()) (got += *line) += "\r\n";
      CHECK(got == text);
      co_await writing.join();
    });
  }
}

TEST_CASE("a line of 8 MiB needs no more memory than the limit and one buffer") {
  if (!allocations_are_counted()) {
    MESSAGE("skipped: sanitizers have an allocator of their own");
    return;
  }
  on_one_scheduler([]() -> task<> {
    connection pair = co_await connected_pair();
    reader in(pair.far, 10'000);
    const std::string bulk(1 << 16, 'x');
    constexpr std::size_t margin = 2048;
    const auto fiber = spawn([&in]() -> task<std::string> {
      std::string words = co_await line_of(in);
      if (words == too_long) words = co_await line_of(in);
      co_return words;
    });
    co_await sleep(0s);
    const std::size_t before = ::mallinfo2().uordblks;
    for (std::size_t written = 3'333; written <= 9'999; written += 3'333) {
      co_await pair.near.write_all(std::string_view(bulk).substr(0, 3'333));
      while (pair.far.bytes_read() < written) co_await sleep(0s);
    }
    std::size_t most = ::mallinfo2().uordblks;
    CHECK(most - before > 9'000);
    for (int i = 0; i < 128; ++i) {
      co_await pair.near.write_all(bulk);
      most = std::max(most, ::mallinfo2().uordblks);
    }
    CHECK(most - before < in.limit() + margin);
    co_await pair.near.write_all("\nok\n");
    const std::string words = co_await fiber.get();
    CHECK(words == "'ok'");
  });
}

TEST_CASE("a pipe is read in lines, and a terminal continues after its end of file") {
  on_schedulers([]() -> task<> {
    fd_pair pipe = pipe_pair();
    standard_stream stream(pipe.near.get());
    reader in(stream);
    const auto fiber = spawn(line_of(in));
    co_await sleep(0s);
    put(pipe.far, "one\ntwo");
    std::string words = co_await fiber.get();
    CHECK(words == "'one'");
    words = co_await line_of(in, 1ms);
    CHECK(words == "timed out");
    pipe.far.reset();
    for (const char* expected : {"'two'", "end", "end"}) {
      words = co_await line_of(in);
      CHECK(words == expected);
    }
  });
  for_each_source([](stage& s, reader& in, const source& from) -> task<> {
    if (from.code != opcode::read) co_return;
    for (int i = 0; i < 2; ++i) {
      const auto fiber = spawn(line_of(in));
      co_await settle();
      from.bring(s, "half");
      co_await settle();
      from.bring(s, "");
      std::string words = co_await fiber.get();
      CHECK(words == "'half'");
      // Each way to detect the end detects it once.
      if (i == 0) {
        words = co_await line_of(in);
        CHECK(words == "end");
      } else {
        words = co_await some_of(in, 1);
        CHECK(words == "''");
      }
    }
    const auto fiber = spawn(exact_of(in, 1));
    co_await settle();
    from.bring(s, "");
    const std::string words = co_await fiber.get();
    CHECK(words == too_short);
    const auto goes_on = spawn(line_of(in));
    co_await settle();
    CHECK_FALSE(goes_on.done());
    from.bring(s, "more\n");
    const std::string more = co_await goes_on.get();
    CHECK(more == "'more'");
  });
}

TEST_CASE("a run ends although a call waits") {
  on_schedulers([]() -> task<> {
    const auto read_for_ever = []() -> task<> {
      const fd_pair pipe = pipe_pair();
      standard_stream stream(pipe.near.get());
      reader in(stream);
      co_await in.read_line();
    };
    spawn(read_for_ever);
    co_await sleep(0s);
  });
}

// Misuse

TEST_CASE("a call while another one waits aborts and says so") {
  const auto during_a_wait = [](auto misuse) {
    on_stage([&](stage& s) -> task<> {
      std::optional<reader> in(s.stream);
      const auto fiber = spawn(line_of(*in));
      co_await settle();
      co_await misuse(s, in);
    });
  };
  const char* const sentence = "a call on a reader was begun while another one waited";
  CHECK(aborts_with(sentence, [&] {
    during_a_wait([](stage&, auto& in) -> task<> { co_await in->read_line(); });
  }));
  CHECK(aborts_with(sentence, [&] {
    during_a_wait([](stage&, auto& in) -> task<> {
      in->try_read_line();
      co_return;
    });
  }));
  CHECK(aborts_with(sentence, [&] {
    during_a_wait([](stage&, auto& in) -> task<> {
      in->peek();
      co_return;
    });
  }));
  CHECK(aborts_with(sentence, [&] {
    during_a_wait([](stage&, auto& in) -> task<> {
      in->consume(0);
      co_return;
    });
  }));
  CHECK(aborts_with("a second read was begun", [&] {
    during_a_wait([](stage& s, auto&) -> task<> { co_await s.stream.receive(); });
  }));
  CHECK(aborts_with("a reader was destroyed while one of its calls waited", [&] {
    during_a_wait([](stage&, auto& in) -> task<> {
      in.reset();
      co_return;
    });
  }));
}

TEST_CASE("a limit of 0, an empty delimiter or span, or too large a count aborts and says so") {
  const auto misused = [](auto misuse) {
    on_stage([&](stage& s) -> task<> {
      reader in(s.stream);
      misuse(s, in);
      co_return;
    });
  };
  CHECK(aborts_with("the limit of a reader is at least 1 byte",
                    [&] { misused([](stage& s, reader&) { reader none(s.stream, 0); }); }));
  CHECK(aborts_with("the limit of a reader is at least 1 byte",
                    [&] { misused([](stage& s, reader&) { reader none(s.standard, 0); }); }));
  CHECK(aborts_with("read_until() needs a delimiter of at least one byte",
                    [&] { misused([](stage&, reader& in) { (void)in.read_until(""); }); }));
  CHECK(aborts_with("read_some() needs room for at least one byte",
                    [&] { misused([](stage&, reader& in) { (void)in.read_some({}); }); }));
  CHECK(aborts_with("more bytes were consumed than the reader has buffered",
                    [&] { misused([](stage&, reader& in) { in.consume(1); }); }));
}

TEST_SUITE_END();
