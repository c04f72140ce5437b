// writer: what it sends and when, and what is left when a call is cut short, fails or is never
// made.
// SPDX-License-Identifier: MIT
#include <ringlet/any_fiber.hpp>
#include <ringlet/as_result.hpp>
#include <ringlet/memory_stream.hpp>
#include <ringlet/options.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>
#include <ringlet/writer.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <optional>
#include <ostream>
#include <source_location>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/bytes.hpp"
#include "support/on_script.hpp"
#include "support/outcome.hpp"
#include "support/random.hpp"
#include "support/scale.hpp"
#include "support/schedulers.hpp"
#include "support/stage.hpp"
#include "support/transports.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("writer");

namespace {

// What a send or send_message in flight sends.
std::string text_of(const operation& op) {
  if (op.code == opcode::send) return {static_cast<const char*>(op.data), op.length};
  std::string all;
  const auto& message = *static_cast<const msghdr*>(op.data);
  for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
    all.append(static_cast<const char*>(message.msg_iov[i].iov_base), message.msg_iov[i].iov_len);
  }
  return all;
}

// A sink that a program has written: keeps what it gets, or throws.
class kept_text {
 public:
  task<> write_all(std::span<const std::byte> bytes, time_limit = forever) {
    const std::array parts{bytes};
    co_await write_all(parts);
  }
  task<> write_all(std::string_view text, time_limit = forever) {
    co_await write_all(std::as_bytes(std::span(text)));
  }
  task<> write_all(const buffer& data, time_limit = forever) { co_await write_all(data.bytes()); }
  task<> write_all(std::span<const std::span<const std::byte>> parts, time_limit = forever) {
    ++calls;
    if (on_call) on_call();
    for (const auto part : parts) all += text(part);
    co_return;
  }
  void shutdown_write() {}
  void abort() noexcept {}
  task<> close() { co_return; }

  std::string all;
  int calls = 0;
  std::function<void()> on_call;
};
static_assert(byte_sink<kept_text>);

task<std::string> outcome_of_write(writer& out, std::string_view text,
                                   time_limit timeout = forever) {
  return outcome_of([&out, text, timeout] { return out.write(text, timeout); });
}
task<std::string> outcome_of_flush(writer& out, time_limit timeout = forever) {
  return outcome_of([&out, timeout] { return out.flush(timeout); });
}

// A stage whose stream has a corked writer that has collected "one".
template <class F>
void with_collected(F body) {
  on_stage([&](stage& s) -> task<> {
    writer out(s.stream);
    out.cork();
    co_await out.write("one");
    co_await body(s, out);
  });
}

// The unhandled errors of a run in which the task that `body()` returns is a fiber.
template <class F>
std::vector<std::string> reports_of(F body) {
  std::vector<std::string> reports;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    try {
      std::rethrow_exception(failure.error);
    } catch (const std::exception& error) {
      reports.emplace_back(error.what());
    }
  };
  scripted_engine engine;
  detail::run_on(engine, beside_main(body()), settings, std::source_location::current());
  return reports;
}

}  // namespace

// What is sent, and when

TEST_CASE("write() sends at once") {
  on_stage([](stage& s) -> task<> {
    writer out(s.stream);
    CHECK_FALSE(out.is_corked());
    CHECK(out.capacity() == writer::default_capacity);
    const auto writing = spawn(outcome_of_write(out, "hello"));
    co_await settle();
    CHECK(text_of(s.engine.oldest(opcode::send)) == "hello");
    CHECK_FALSE(writing.done());
    s.engine.complete(s.engine.oldest(opcode::send), 5);
    const std::string words = co_await writing.get();
    CHECK(words == "done");
    CHECK(out.unflushed() == 0);
  });
}

TEST_CASE("write() of several pieces is one request, and of no bytes none") {
  on_stage([](stage& s) -> task<> {
    writer out(s.stream);
    const std::array parts{bytes("a"), bytes(""), bytes("bc")};
    const auto writing = spawn([&]() -> task<> { co_await out.write(parts); });
    co_await settle();
    CHECK(text_of(s.engine.oldest(opcode::send_message)) == "abc");
    s.engine.complete(s.engine.oldest(opcode::send_message), 3);
    co_await writing.get();
    co_await out.write("");
    const std::array nothing{bytes(""), bytes("")};
    co_await out.write(nothing);
    co_await out.flush();
    CHECK(s.engine.log().size() == 1);
  });
}

TEST_CASE("a corked writer collects until flush(), and then sends at once again") {
  with_collected([](stage& s, writer& out) -> task<> {
    CHECK(out.is_corked());
    const std::array parts{bytes(" two"), bytes(" three")};
    co_await out.write(parts);
    CHECK(out.unflushed() == 13);
    CHECK(s.engine.waiting().empty());
    const auto flushing = spawn(outcome_of_flush(out));
    co_await settle();
    CHECK(text_of(s.engine.oldest(opcode::send)) == "one two three");
    s.engine.complete(s.engine.oldest(opcode::send), 13);
    std::string words = co_await flushing.get();
    CHECK(words == "done");
    CHECK(out.unflushed() == 0);
    CHECK_FALSE(out.is_corked());
    const auto writing = spawn(outcome_of_write(out, "four"));
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::send), 4);
    words = co_await writing.get();
    CHECK(words == "done");
  });
}

TEST_CASE("a write that does not fit sends all by one request, and the writer stays corked") {
  on_stage([](stage& s) -> task<> {
    writer out(s.stream, 8);
    out.cork();
    co_await out.write("12345");
    co_await out.write("678");  // fits exactly
    CHECK(out.unflushed() == 8);
    CHECK(s.engine.waiting().empty());
    const std::string large = pattern(100);
    const auto writing = spawn(outcome_of_write(out, large));
    co_await settle();
    operation& sent = s.engine.oldest(opcode::send_message);
    CHECK(text_of(sent) == "12345678" + large);
    // It is not copied.
    CHECK(static_cast<const msghdr*>(sent.data)->msg_iov[1].iov_base == large.data());
    s.engine.complete(sent, 108);
    const std::string words = co_await writing.get();
    CHECK(words == "done");
    CHECK(out.unflushed() == 0);
    CHECK(out.is_corked());
    // Without collected bytes it is a plain write.
    const auto next = spawn(outcome_of_write(out, large));
    co_await settle();
    CHECK(s.engine.oldest(opcode::send).data == large.data());
    s.engine.complete(s.engine.oldest(opcode::send), 100);
    co_await next.join();
  });
}

TEST_CASE("received bytes are written, too") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    co_await near.write_all("hello");
    const buffer got = co_await far.receive();
    writer out(far);
    co_await out.write(got);
    const buffer back = co_await near.receive();
    CHECK(back.text() == "hello");
  });
}

TEST_CASE("discard() drops what was collected") {
  with_collected([](stage& s, writer& out) -> task<> {
    out.discard();
    CHECK(out.unflushed() == 0);
    CHECK(out.is_corked());
    co_await out.flush();
    CHECK(s.engine.log().empty());
  });
}

TEST_CASE("memory is held only while something is collected") {
  if (!allocations_are_counted()) return;
  on_script([]() -> task<> {
    kept_text sink;
    sink.all.reserve(1000);
    writer out(sink, 200);
    co_await out.write("x");  // the frames of calls come from a pool from now on
    out.cork();
    co_await out.write("y");
    co_await out.flush();
    const heap_blocks before = living_heap_blocks();
    out.cork();
    for (int i = 0; i < 100; ++i) co_await out.write("ab");
    CHECK(living_heap_blocks().count == before.count + 1);
    CHECK(living_heap_blocks().bytes - before.bytes <= 256);
    co_await out.flush();
    CHECK(living_heap_blocks().count == before.count);
    CHECK(sink.calls == 3);
  });
}

// Cancellation

TEST_CASE(
    "flush() that is cancelled before a byte is sent loses nothing, and may be called again") {
  enum class way { kill, limit, scope };
  for (const way how : {way::kill, way::limit, way::scope}) {
    with_collected([how](stage& s, writer& out) -> task<> {
      auto inner = [&]() -> task<> {
        const time_limit limit = how == way::limit ? time_limit(5ms) : forever;
        const std::string words = co_await outcome_of_flush(out, limit);
        CHECK(words == (how == way::limit  ? "timed out"
                        : how == way::kill ? "cancelled"
                                           : "cancelled, then cancelled"));
      };
      auto outer = [&]() -> task<> {
        if (how == way::scope) {
          co_await with_timeout(5ms, inner());
        } else {
          co_await inner();
        }
      };
      const auto fiber = spawn(outer);
      co_await settle();
      if (how == way::kill) fiber.request_kill();
      co_await sleep(6ms);
      co_await fiber.join();
      CHECK(s.engine.cancelled(opcode::send) == 1);
      CHECK(out.unflushed() == 3);
      // The bytes of the next write() come after them.
      const auto again = spawn(outcome_of_write(out, " two"));
      co_await settle();
      CHECK(text_of(s.engine.oldest(opcode::send_message)) == "one two");
      s.engine.complete(s.engine.oldest(opcode::send_message), 7);
      const std::string words = co_await again.get();
      CHECK(words == "done");
    });
  }
}

TEST_CASE("a write that is cancelled before a byte is sent keeps what was collected, not its own") {
  on_stage([](stage& s) -> task<> {
    writer out(s.stream, 4);
    out.cork();
    co_await out.write("one");
    const auto writing = spawn(outcome_of_write(out, " two"));
    co_await settle();
    CHECK(text_of(s.engine.oldest(opcode::send_message)) == "one two");
    writing.request_kill();
    std::string words = co_await writing.get();
    CHECK(words == "cancelled");
    CHECK(out.unflushed() == 3);
    const auto flushing = spawn(outcome_of_flush(out));
    co_await settle();
    CHECK(text_of(s.engine.oldest(opcode::send)) == "one");
    s.engine.complete(s.engine.oldest(opcode::send), 3);
    words = co_await flushing.get();
    CHECK(words == "done");
  });
}

TEST_CASE(
    "a call that is cut short in the middle makes the next one fail, and no byte is sent twice") {
  with_collected([](stage& s, writer& out) -> task<> {
    const auto flushing = spawn(outcome_of_flush(out, 5ms));
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::send), 1);
    co_await settle();
    co_await sleep(6ms);
    std::string words = co_await flushing.get();
    CHECK(words == "timed out");
    CHECK(out.unflushed() == 3);
    const std::string lost = make_error_code(errc::partial_transfer).message();
    for (int i = 0; i < 2; ++i) {
      words = co_await outcome_of_flush(out);
      CHECK(words == lost);
      words = co_await outcome_of_write(out, "two");
      CHECK(words == lost);
    }
    CHECK(s.engine.waiting().empty());
  });
}

TEST_CASE("success wins: a flush() that was complete when it was killed has sent its bytes") {
  with_collected([](stage& s, writer& out) -> task<> {
    const auto flushing = spawn(outcome_of_flush(out));
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::send), 3);
    flushing.request_kill();
    const std::string words = co_await flushing.get();
    CHECK(words == "done, then cancelled");
    CHECK(out.unflushed() == 0);
  });
}

TEST_CASE("a fiber that was killed before its call sends nothing") {
  with_collected([](stage& s, writer& out) -> task<> {
    const auto late = [&]() -> task<> {
      try {
        co_await sleep(1s);
      } catch (const cancelled&) {
        current_fiber().request_kill();
      }
      co_await out.flush();
    };
    const auto fiber = spawn(late);
    co_await settle();
    fiber.request_kill();
    co_await fiber.join();
    CHECK(fiber.result() == outcome::cancelled);
    CHECK(s.engine.started(opcode::send) == 0);
    CHECK(out.unflushed() == 3);
    out.discard();
  });
}

// Errors

TEST_CASE("after an error of the sink every call fails with it, and nothing is sent again") {
  with_collected([](stage& s, writer& out) -> task<> {
    const auto flushing = spawn(outcome_of_flush(out));
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::send), -EPIPE);
    const std::string broken = std::make_error_code(std::errc::broken_pipe).message();
    std::string words = co_await flushing.get();
    CHECK(words == broken);
    out.cork();
    for (int i = 0; i < 2; ++i) {
      words = co_await outcome_of_flush(out);
      CHECK(words == broken);
      words = co_await outcome_of_write(out, "two");
      CHECK(words == broken);
    }
    CHECK(s.engine.waiting().empty());
  });
}

TEST_CASE("closing the stream ends a waiting call") {
  with_collected([](stage& s, writer& out) -> task<> {
    const auto flushing = spawn(outcome_of_flush(out));
    co_await settle();
    co_await s.stream.close();
    const std::string words = co_await flushing.get();
    CHECK(words == make_error_code(errc::closed).message());
  });
}

TEST_CASE("an exception of the sink passes through, and the bytes stay collected") {
  on_script([]() -> task<> {
    kept_text sink;
    writer out(sink);
    out.cork();
    co_await out.write("one");
    sink.on_call = [] { throw std::runtime_error("the sink is broken"); };
    bool thrown = false;
    try {
      co_await out.flush();
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    CHECK(thrown);
    CHECK(out.unflushed() == 3);
    sink.on_call = {};
    co_await out.flush();
    CHECK(sink.all == "one");
  });
}

TEST_CASE("without memory a call writes and collects nothing, and may be made again") {
  if (!allocations_are_counted()) return;
  on_script([]() -> task<> {
    int failures = 0;
    for (int number = 0;; ++number) {
      REQUIRE(number < 50);
      kept_text sink;
      sink.all.reserve(100);
      writer out(sink, 10);
      bool has_failed = false;
      // Collects "one", overflows with "seven more", collects "end", flushes.
      for (int step = 0; step < 4; ++step) {
        for (int tries = 0; tries < 2; ++tries) {
          bool complete = false;
          std::optional<failing_allocation> failing;
          if (!has_failed) failing.emplace(number);
          try {
            out.cork();
            if (step == 0) co_await out.write("one");
            if (step == 1) co_await out.write("seven more");
            if (step == 2) co_await out.write("end");
            if (step == 3) co_await out.flush();
            complete = true;
          } catch (const std::bad_alloc&) {
            has_failed = true;
          }
          failing.reset();
          if (complete) break;
          REQUIRE(tries == 0);
        }
      }
      REQUIRE(sink.all == "oneseven moreend");
      REQUIRE(sink.calls <= 3);
      if (!has_failed) break;
      ++failures;
    }
    CHECK(failures != 0);
  });
}

// Destroyed with unflushed bytes

TEST_CASE("a writer that is destroyed with bytes that were not flushed reports them") {
  const auto reports = reports_of([]() -> task<> {
    kept_text sink;
    writer out(sink);
    out.cork();
    co_await out.write("forgotten");
  });
  REQUIRE(reports.size() == 1);
  CHECK(reports[0] ==
        "a writer was destroyed with 9 bytes that were not flushed: call flush(), or "
        "discard() to drop them");
}

TEST_CASE("a writer that is destroyed outside of a fiber reports its bytes, too") {
  std::vector<std::string> reports;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error&) { reports.emplace_back("lost"); };
  scripted_engine engine;
  kept_text sink;
  std::optional<writer> out(sink);
  const auto collect = [&]() -> task<> {
    out->cork();
    co_await out->write("forgotten");
  };
  detail::run_on(engine, collect(), settings, std::source_location::current());
  CHECK(reports.empty());
  out.reset();  // to the default handler, which prints
}

TEST_CASE("a writer reports nothing that was dropped, told before, or lost by an exception") {
  const auto reports = reports_of([]() -> task<> {
    kept_text sink;
    {
      writer empty(sink);
      empty.cork();
    }
    {
      writer dropped(sink);
      dropped.cork();
      co_await dropped.write("x");
      dropped.discard();
    }
    {
      writer failed(sink);
      failed.cork();
      co_await failed.write("x");
      sink.on_call = [] { throw_error(std::make_error_code(std::errc::broken_pipe), "sink"); };
      const auto told = co_await as_result(failed.flush());
      CHECK(told.error() == std::errc::broken_pipe);
    }
    try {
      writer unwound(sink);
      unwound.cork();
      co_await unwound.write("x");
      throw std::runtime_error("the reason");
    } catch (const std::runtime_error&) {
    }
    const auto killed = [&]() -> task<> {
      writer out(sink);
      out.cork();
      co_await out.write("x");
      co_await sleep(1s);
    };
    const auto fiber = spawn(killed);
    co_await settle();
    fiber.request_kill();
    co_await fiber.join();
  });
  CHECK(reports.empty());
}

TEST_CASE("bytes that are collected after a failed call are reported, too") {
  const auto reports = reports_of([]() -> task<> {
    kept_text sink;
    writer out(sink);
    out.cork();
    co_await out.write("x");
    sink.on_call = [] { throw std::runtime_error("the sink is broken"); };
    try {
      co_await out.flush();
    } catch (const std::runtime_error&) {
    }
    out.cork();
    co_await out.write("y");
  });
  CHECK(reports.size() == 1);
}

// Every sink

TEST_CASE_TEMPLATE("what is written in random pieces, corked or not, arrives in order", T,
                   tcp_transport, unix_transport, socket_pair_transport, pipe_transport,
                   standard_transport, memory_transport) {
  const std::string kind = T::name;
  CAPTURE(kind);
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    if (test_seed() != 0 && test_seed() != seed) continue;
    CAPTURE(seed);
    on_one_scheduler([seed]() -> task<> {
      T made = co_await T::make();
      random_numbers chance(seed);
      const std::string all = pattern(100'000);
      const auto writing = spawn([&]() -> task<> {
        writer out(*made.out, 1 + chance.below(3000));
        std::string_view left = all;
        while (!left.empty()) {
          if (chance.once_in(10)) out.cork();
          const std::string_view one = left.substr(0, chance.below(1000));
          left.remove_prefix(one.size());
          if (chance.once_in(2)) {
            co_await out.write(one);
          } else {
            const std::string_view next = left.substr(0, chance.below(1000));
            left.remove_prefix(next.size());
            const std::array parts{bytes(one), bytes(next)};
            co_await out.write(parts);
          }
          if (chance.once_in(20)) co_await out.flush();
        }
        co_await out.flush();
        made.end();
      });
      std::string got;
      while (const buffer data = co_await made.in->receive()) got += data.text();
      co_await writing.get();
      REQUIRE(got == all);
    });
  }
}

// Misuse

TEST_CASE("a call on a writer while another one waits aborts and says so") {
  const auto during_a_wait = [](auto misuse) {
    on_stage([&](stage& s) -> task<> {
      std::optional<writer> out(s.stream);
      const auto fiber = spawn(outcome_of_write(*out, "x"));
      co_await settle();
      co_await misuse(out);
    });
  };
  const char* const sentence = "a call on a writer was begun while another one waited";
  CHECK(aborts_with(sentence,
                    [&] { during_a_wait([](auto& out) -> task<> { co_await out->write("y"); }); }));
  CHECK(aborts_with(sentence,
                    [&] { during_a_wait([](auto& out) -> task<> { co_await out->flush(); }); }));
  CHECK(aborts_with(sentence, [&] {
    during_a_wait([](auto& out) -> task<> {
      out->discard();
      co_return;
    });
  }));
  CHECK(aborts_with("a writer was destroyed while one of its calls waited", [&] {
    during_a_wait([](auto& out) -> task<> {
      out.reset();
      co_return;
    });
  }));
}

TEST_CASE("a capacity of 0 aborts and says so") {
  CHECK(aborts_with("the capacity of a writer is at least 1 byte", [] {
    kept_text sink;
    writer out(sink, 0);
  }));
}

TEST_SUITE_END();
