// What a reader promises: whole pieces however the bytes come, a limit, and that no call that was
// cut short loses a byte.
//
// Method: a scripted engine delivers the bytes in chosen portions, mostly one byte at a time; a
// simple model on a string says what must come of it. Real sockets, pipes and terminals at the end.
#include <ringlet/reader.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/aborts.hpp"
#include "support/loopback.hpp"
#include "support/random.hpp"
#include "support/schedulers.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* too_long = "what came is longer than the limit allows";

// What a receive in flight brings; "" is the end.
void bring(stage& s, std::string_view bytes) {
  s.engine.deliver(s.engine.oldest(opcode::receive), bytes);
}

task<std::string> line_of(reader& in, until limit = forever) {
  return outcome_of([&in, limit] { return in.read_line(limit); });
}

}  // namespace

TEST_SUITE_BEGIN("reader");

TEST_CASE("a line comes without the LF or CR LF that ends it") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream);
    s.engine.on_start = [&](operation&) { bring(s, "one\ntwo\r\n\n\r\n\rthree\r\r\n"); };
    for (const char* expected : {"'one'", "'two'", "''", "''", "'\rthree\r'"}) {
      const std::string words = co_await line_of(in);
      CHECK(words == expected);
    }
    CHECK(s.engine.started(opcode::receive) == 1);
  });
}

TEST_CASE("a line that comes byte by byte is whole in the end") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream);
    const auto fiber = spawn(line_of(in));
    co_await settle();
    for (const char c : std::string("slow\r\n")) {
      CHECK_FALSE(fiber.done());
      CHECK(s.engine.buffers().on_lease() == 0);
      bring(s, std::string(1, c));
      co_await settle();
    }
    const std::string words = co_await fiber.get();
    CHECK(words == "'slow'");
  });
}

TEST_CASE("what comes after the last LF is a line, and then comes the end, again and again") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream);
    s.engine.on_start = [&](operation&) {
      if (s.engine.started(opcode::receive) == 1) bring(s, "a\nb");
      bring(s, "");
    };
    for (const char* expected : {"'a'", "'b'", "end", "end"}) {
      const std::string words = co_await line_of(in);
      CHECK(words == expected);
    }
  });
}

TEST_CASE("a line that is too long is an error, and the one after it is read") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream, 4);
    const auto fiber = spawn(line_of(in));
    co_await settle();
    bring(s, "1234");
    co_await settle();
    CHECK_FALSE(fiber.done());
    bring(s, "5");
    std::string words = co_await fiber.get();
    CHECK(words == too_long);
    const auto next = spawn(line_of(in));
    for (const char* piece : {"67", "89", "\nok", "ay\n"}) {
      co_await settle();
      CHECK_FALSE(next.done());
      bring(s, piece);
    }
    words = co_await next.get();
    CHECK(words == "'okay'");
  });
}

TEST_CASE("try_read_line takes whole lines that have come, and never waits") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream, 8);
    CHECK_FALSE(in.try_read_line());
    s.engine.on_start = [&](operation&) { bring(s, "one\ntwo\nthr"); };
    const std::string words = co_await line_of(in);
    CHECK(words == "'one'");
    CHECK(in.try_read_line() == "two");
    CHECK_FALSE(in.try_read_line());
    bring(s, "ee\nand much more\nfour\n");
    co_await settle();
    CHECK(in.try_read_line() == "three");
    CHECK_FALSE(in.try_read_line());
  });
}

TEST_SUITE_END();
