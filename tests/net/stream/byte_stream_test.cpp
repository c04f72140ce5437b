// What every stream of bytes promises: each case runs on all kinds.
// SPDX-License-Identifier: MIT
#include <ringlet/any_fiber.hpp>
#include <ringlet/as_result.hpp>
#include <ringlet/byte_stream.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "support/aborts.hpp"
#include "support/bytes.hpp"
#include "support/outcome.hpp"
#include "support/schedulers.hpp"
#include "support/transports.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

#define TRANSPORTS                                                                          \
  tcp_transport, unix_transport, socket_pair_transport, pipe_transport, standard_transport, \
      memory_transport

static_assert(byte_stream<tcp_stream>);
static_assert(byte_stream<unix_stream>);
static_assert(byte_stream<standard_stream>);
static_assert(byte_stream<memory_stream>);
static_assert(byte_source<pipe_reader>);
static_assert(byte_sink<pipe_writer>);
static_assert(!byte_sink<pipe_reader>);
static_assert(!byte_source<pipe_writer>);
static_assert(!byte_source<std::string>);

TEST_SUITE_BEGIN("byte_stream");

namespace {

// More than any of the transports holds while no one reads.
constexpr std::size_t more_than_fits = 16'000'000;

constexpr std::string_view closed = "closed by this program";

template <class T, class F>
void on_transport(F body) {
  const std::string kind = T::name;
  CAPTURE(kind);
  const without_sigpipe ignored;
  on_one_scheduler([&]() -> task<> {
    T made = co_await T::make();
    co_await body(made);
  });
}

// The calls that read, each of which asks for "abc".
struct reading {
  const char* name;
  bool takes;  // readable() does not
  std::string_view success;
};
constexpr reading readings[] = {{"receive", true, "3 bytes"},
                                {"read_some", true, "3 bytes"},
                                {"read_exact", true, "done"},
                                {"readable", false, "true"}};

std::string words_of_readable(const result<bool>& got) {
  if (!got) return got.error().message();
  return *got ? "true" : "false";
}

// The outcome of a call in words. The memory of the call is in this frame.
template <class Source>
task<std::string> outcome_of_read(Source& from, std::string_view call, time_limit timeout) {
  std::array<std::byte, 3> memory;
  if (call == "receive") {
    const auto got = co_await as_result(from.receive(timeout));
    co_return in_words(got);
  }
  if (call == "read_some") {
    const auto got = co_await as_result(from.read_some(memory, timeout));
    co_return in_words(got);
  }
  if (call == "read_exact") {
    const auto got = co_await as_result(from.read_exact(memory, timeout));
    co_return in_words(got);
  }
  const auto got = co_await as_result(from.readable(timeout));
  co_return words_of_readable(got);
}

template <class Sink>
task<std::string> outcome_of_write(Sink& to, std::string_view text) {
  const auto done = co_await as_result(to.write_all(text));
  co_return in_words(done);
}

template <class Source>
task<std::string> read_to_the_end(Source& from) {
  std::string all;
  while (buffer data = co_await from.receive()) all += data.text();
  co_return all;
}

}  // namespace

TEST_CASE_TEMPLATE("a read returns what has arrived, at once", T, TRANSPORTS) {
  for (const reading& call : readings) {
    CAPTURE(call.name);
    on_transport<T>([&](T& t) -> task<> {
      co_await t.out->write_all("abc");
      const std::string words = co_await outcome_of_read(*t.in, call.name, forever);
      CHECK(words == call.success);
      if (!call.takes) {
        const buffer rest = co_await t.in->receive();
        CHECK(rest.text() == "abc");
      }
    });
  }
}

TEST_CASE_TEMPLATE("a read waits for what arrives later", T, TRANSPORTS) {
  for (const reading& call : readings) {
    CAPTURE(call.name);
    on_transport<T>([&](T& t) -> task<> {
      auto& in = *t.in;
      const auto waiting = spawn([&]() { return outcome_of_read(in, call.name, forever); });
      co_await yield();
      CHECK_FALSE(waiting.done());
      co_await t.out->write_all("abc");
      const std::string words = co_await waiting.get();
      CHECK(words == call.success);
    });
  }
}

TEST_CASE_TEMPLATE("read_some() and receive() return as soon as something has come", T,
                   TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    co_await t.out->write_all("a");
    std::array<std::byte, 3> memory;
    const std::size_t count = co_await t.in->read_some(memory);
    CHECK(count == 1);
    co_await t.out->write_all("bcd");
    const std::size_t two = co_await t.in->read_some(std::span(memory).first(2));
    CHECK(text(memory, two) == "bc");
    const buffer rest = co_await t.in->receive();
    CHECK(rest.text() == "d");
  });
}

TEST_CASE_TEMPLATE("read_exact() puts pieces together, and is short if the end comes first", T,
                   TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    auto& in = *t.in;
    std::array<std::byte, 5> memory;
    const auto waiting = spawn([&]() -> task<> { co_await in.read_exact(memory); });
    for (const char* piece : {"a", "bc", "de"}) {
      co_await t.out->write_all(piece);
      co_await yield();
    }
    co_await waiting.get();
    CHECK(text(memory) == "abcde");
    co_await in.read_exact({});
    co_await t.out->write_all("xy");
    t.end();
    const auto short_one = co_await as_result(in.read_exact(memory));
    CHECK(short_one.error() == errc::end_of_stream);
    CHECK(text(memory, 2) == "xy");
  });
}

TEST_CASE_TEMPLATE("the end is a value, after all bytes, and stays", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    co_await t.out->write_all("abc");
    t.end();
    const std::string all = co_await read_to_the_end(*t.in);
    CHECK(all == "abc");
    for (int round = 0; round < 2; ++round) {
      const bool ready = co_await t.in->readable();
      CHECK(ready);
      const buffer none = co_await t.in->receive();
      CHECK(none.empty());
      std::array<std::byte, 3> memory;
      const std::size_t count = co_await t.in->read_some(memory);
      CHECK(count == 0);
      const auto failed = co_await as_result(t.in->read_exact(memory));
      CHECK(failed.error() == errc::end_of_stream);
    }
  });
}

TEST_CASE_TEMPLATE("the end wakes a read that waits", T, TRANSPORTS) {
  constexpr std::string_view at_the_end[] = {"0 bytes", "0 bytes", "unexpected end of stream",
                                             "true"};
  for (std::size_t i = 0; i < std::size(readings); ++i) {
    CAPTURE(readings[i].name);
    on_transport<T>([&](T& t) -> task<> {
      auto& in = *t.in;
      const auto waiting = spawn([&]() { return outcome_of_read(in, readings[i].name, forever); });
      co_await yield();
      t.end();
      const std::string words = co_await waiting.get();
      CHECK(words == at_the_end[i]);
    });
  }
}

TEST_CASE_TEMPLATE("everything that was written arrives once and in order", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    auto& in = *t.in;
    const auto reading = spawn([&]() { return read_to_the_end(in); });
    const std::string large = pattern(3'000'000);
    co_await t.out->write_all(std::string_view("text,"));
    co_await t.out->write_all(bytes("bytes,"));
    const std::array parts{bytes("several,"), bytes(""), bytes(large), bytes(",parts,")};
    co_await t.out->write_all(parts);
    co_await t.out->write_all("");
    co_await t.out->write_all(large);
    t.end();
    const std::string all = co_await reading.get();
    CHECK(all == "text,bytes,several," + large + ",parts," + large);
  });
}

TEST_CASE_TEMPLATE("a received buffer can be written", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    T back = co_await T::make();
    co_await t.out->write_all("abc");
    const buffer data = co_await t.in->receive();
    co_await back.out->write_all(data);
    const buffer again = co_await back.in->receive();
    CHECK(again.text() == "abc");
  });
}

TEST_CASE_TEMPLATE("a read that runs out of time loses nothing", T, TRANSPORTS) {
  for (const reading& call : readings) {
    CAPTURE(call.name);
    on_transport<T>([&](T& t) -> task<> {
      const std::string words = co_await outcome_of_read(*t.in, call.name, 1ms);
      CHECK(words == (call.takes ? "timed out" : "false"));
      co_await t.out->write_all("abc");
      const std::string later = co_await outcome_of_read(*t.in, call.name, forever);
      CHECK(later == call.success);
    });
  }
}

TEST_CASE_TEMPLATE("a read that is killed while it waits loses nothing", T, TRANSPORTS) {
  for (const reading& call : readings) {
    CAPTURE(call.name);
    on_transport<T>([&](T& t) -> task<> {
      auto& in = *t.in;
      const auto waiting = spawn([&]() { return outcome_of_read(in, call.name, forever); });
      co_await yield();
      co_await waiting.kill();
      CHECK(waiting.result() == outcome::cancelled);
      co_await t.out->write_all("abc");
      const std::string later = co_await outcome_of_read(*t.in, call.name, forever);
      CHECK(later == call.success);
    });
  }
}

TEST_CASE_TEMPLATE("a read that is killed before it starts takes nothing", T, TRANSPORTS) {
  for (const reading& call : readings) {
    CAPTURE(call.name);
    on_transport<T>([&](T& t) -> task<> {
      co_await t.out->write_all("abc");
      auto& in = *t.in;
      const auto killed = spawn([&]() -> task<std::string> {
        current_fiber().request_kill();
        co_return co_await outcome_of_read(in, call.name, forever);
      });
      co_await killed.join();
      CHECK(killed.result() == outcome::cancelled);
      const buffer kept = co_await t.in->receive();
      CHECK(kept.text() == "abc");
    });
  }
}

TEST_CASE_TEMPLATE("a read that is killed as bytes arrive delivers them, or leaves them", T,
                   TRANSPORTS) {
  for (const reading& call : readings) {
    CAPTURE(call.name);
    on_transport<T>([&](T& t) -> task<> {
      auto& in = *t.in;
      const auto waiting = spawn([&]() { return outcome_of_read(in, call.name, forever); });
      co_await yield();
      co_await t.out->write_all("abc");
      waiting.request_kill();
      co_await waiting.join();
      const bool delivered = waiting.result() == outcome::value && call.takes;
      t.end();
      const std::string rest = co_await read_to_the_end(*t.in);
      CHECK(rest == (delivered ? "" : "abc"));
    });
  }
}

TEST_CASE_TEMPLATE("read_exact() that is cut in the middle ends the direction", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    co_await t.out->write_all("a");
    std::array<std::byte, 3> memory;
    const auto late = co_await as_result(t.in->read_exact(memory, 5ms));
    CHECK(late.error() == errc::timed_out);
    for (const reading& call : readings) {
      CAPTURE(call.name);
      const std::string words = co_await outcome_of_read(*t.in, call.name, forever);
      CHECK(words == make_error_code(errc::partial_transfer).message());
    }
  });
}

TEST_CASE_TEMPLATE("write_all() that is cut in the middle ends the direction", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    const std::string many(more_than_fits, 'x');
    const auto late = co_await as_result(t.out->write_all(many, 20ms));
    CHECK(late.error() == errc::timed_out);
    const std::string words = co_await outcome_of_write(*t.out, "x");
    CHECK(words == make_error_code(errc::partial_transfer).message());
  });
}

TEST_CASE_TEMPLATE("a killed write_all() ends the direction too, with one span and with several", T,
                   TRANSPORTS) {
  for (const bool several : {false, true}) {
    CAPTURE(several);
    on_transport<T>([&](T& t) -> task<> {
      const std::string many(more_than_fits, 'x');
      const std::array parts{bytes("head"), bytes(many)};
      auto& out = *t.out;
      const auto writing = spawn([&]() -> task<> {
        if (several) {
          co_await out.write_all(parts);
        } else {
          co_await out.write_all(many);
        }
      });
      const bool begun = co_await t.in->readable();
      CHECK(begun);
      co_await writing.kill();
      CHECK(writing.result() == outcome::cancelled);
      const std::string words = co_await outcome_of_write(*t.out, "x");
      CHECK(words == make_error_code(errc::partial_transfer).message());
    });
  }
}

TEST_CASE_TEMPLATE("write_all() waits for the reader, and then continues", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    const std::string many = pattern(more_than_fits);
    auto& out = *t.out;
    const auto writing = spawn([&]() -> task<> { co_await out.write_all(many); });
    const bool begun = co_await t.in->readable();
    CHECK(begun);
    co_await yield();
    CHECK_FALSE(writing.done());
    std::string all;
    while (all.size() < many.size()) {
      const buffer data = co_await t.in->receive();
      all += data.text();
    }
    CHECK(all == many);
    co_await writing.get();
  });
}

TEST_CASE_TEMPLATE("closing ends the calls in flight, and refuses later ones", T, TRANSPORTS) {
  for (const reading& call : readings) {
    CAPTURE(call.name);
    on_transport<T>([&](T& t) -> task<> {
      auto& in = *t.in;
      const auto waiting = spawn([&]() { return outcome_of_read(in, call.name, forever); });
      co_await yield();
      co_await t.in->close();
      const std::string words = co_await waiting.get();
      CHECK(words == closed);
      co_await t.in->close();
      const std::string later = co_await outcome_of_read(*t.in, call.name, forever);
      CHECK(later == closed);
    });
  }
}

TEST_CASE_TEMPLATE("closing ends a write in flight, and refuses later ones", T, TRANSPORTS) {
  for (const bool aborts : {false, true}) {
    CAPTURE(aborts);
    on_transport<T>([&](T& t) -> task<> {
      const std::string many(more_than_fits, 'x');
      auto& out = *t.out;
      const auto writing = spawn([&]() { return outcome_of_write(out, many); });
      const bool begun = co_await t.in->readable();
      CHECK(begun);
      if (aborts) {
        out.abort();
        out.abort();
      } else {
        co_await out.close();
        co_await out.close();
      }
      const std::string words = co_await writing.get();
      CHECK(words == closed);
      const std::string later = co_await outcome_of_write(out, "x");
      CHECK((later == closed || later == make_error_code(errc::partial_transfer).message()));
    });
  }
}

TEST_CASE_TEMPLATE("destroying an end ends its calls in flight", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    auto& in = *t.in;
    const auto waiting = spawn([&]() { return outcome_of_read(in, "receive", forever); });
    co_await yield();
    t.in.reset();
    const std::string words = co_await waiting.get();
    CHECK(words == closed);
  });
}

TEST_CASE_TEMPLATE("a writer that vanishes ends the stream, or resets it", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    co_await t.out->write_all("abc");
    auto& in = *t.in;
    const buffer first = co_await in.receive();
    CHECK(first.text() == "abc");
    const auto waiting = spawn([&]() { return outcome_of_read(in, "receive", forever); });
    co_await yield();
    t.lose_writer();
    const std::string words = co_await waiting.get();
    CHECK((words == "0 bytes" || words == "Connection reset by peer"));
  });
}

TEST_CASE_TEMPLATE("writing to a reader that has vanished is an error", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    t.lose_reader();
    // The first bytes may be accepted before the answer comes.
    std::string words = "done";
    while (words == "done") words = co_await outcome_of_write(*t.out, "abc");
    CHECK((words == "Broken pipe" || words == "Connection reset by peer"));
  });
}

TEST_CASE_TEMPLATE("a reader that vanishes ends a write that waits", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    const std::string many(more_than_fits, 'x');
    auto& out = *t.out;
    const auto writing = spawn([&]() { return outcome_of_write(out, many); });
    const bool begun = co_await t.in->readable();
    CHECK(begun);
    t.lose_reader();
    const std::string words = co_await writing.get();
    CHECK((words == "Broken pipe" || words == "Connection reset by peer"));
  });
}

TEST_CASE_TEMPLATE("readable() can be a part of a select()", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    const auto late = co_await select(t.in->readable(), sleep(1ms));
    CHECK(late.index() == 1);
    co_await t.out->write_all("abc");
    const auto came = co_await select(t.in->readable(), sleep(10s));
    CHECK(came.index() == 0);
    const buffer data = co_await t.in->receive();
    CHECK(data.text() == "abc");
  });
}

TEST_CASE_TEMPLATE("shutdown_write() of any sink can be awaited", T, TRANSPORTS) {
  on_transport<T>([](T& t) -> task<> {
    co_await t.out->write_all("abc");
    co_await shutdown_write(*t.out);
    t.end();
    const std::string all = co_await read_to_the_end(*t.in);
    CHECK(all == "abc");
  });
}

TEST_CASE_TEMPLATE("two reads at once, and two writes at once, abort", T, TRANSPORTS) {
  CHECK(aborts_with("a second read was begun while one was in flight", [] {
    on_transport<T>([](T& t) -> task<> {
      auto& in = *t.in;
      const auto waiting = spawn([&]() { return outcome_of_read(in, "receive", forever); });
      co_await yield();
      co_await in.receive();
    });
  }));
  CHECK(aborts_with("a second write was begun while one was in flight", [] {
    on_transport<T>([](T& t) -> task<> {
      const std::string many(more_than_fits, 'x');
      auto& out = *t.out;
      const auto writing = spawn([&]() { return outcome_of_write(out, many); });
      co_await yield();
      co_await out.write_all("x");
    });
  }));
}

TEST_SUITE_END();
