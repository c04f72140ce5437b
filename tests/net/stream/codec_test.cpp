// Codecs of programs: values however the bytes arrive, errors, and values in frames.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/codec.hpp>
#include <ringlet/memory_stream.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "frame_model.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/bytes.hpp"
#include "support/on_script.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("codec");

namespace {

// Decimal numbers, each ended by a semicolon. 'x' is refused with a code, 't' by an exception.
class number_codec {
 public:
  using value_type = int;

  decoded<int> decode(std::string_view bytes) {
    ++calls;
    int value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] == ';') return decoded<int>(value, i + 1);
      if (bytes[i] == 't') throw std::runtime_error("t is not a digit");
      if (bytes[i] == 'x') return std::make_error_code(std::errc::invalid_argument);
      value = value * 10 + (bytes[i] - '0');
    }
    return more_bytes(1);
  }
  void encode(const int& value, std::string& out) {
    if (value < 0) throw std::runtime_error("negative");
    out += std::to_string(value) + ';';
  }

  int calls = 0;
};
static_assert(codec<number_codec>);

// A view of all bytes of a frame, or of a number of bytes that the first one tells.
struct text_codec {
  using value_type = std::string_view;
  decoded<std::string_view> decode(std::string_view bytes) const { return {bytes, bytes.size()}; }
  void encode(std::string_view value, std::string& out) const { out += value; }
};
static_assert(codec<text_codec>);
static_assert(codec<framed<text_codec>>);
static_assert(codec<framed<number_codec>>);
static_assert(!codec<int>);
static_assert(!codec<std::string>);

// Returns what it is told.
struct odd_codec {
  using value_type = int;
  decoded<int> decode(std::string_view) const { return answer; }
  void encode(const int&, std::string&) const {}
  decoded<int> answer;
};

// All values and how it ended: "1 22 end".
template <class Codec>
task<std::string> values_in_words(reader& in, Codec& format, time_limit timeout = forever) {
  std::string all;
  try {
    while (const auto value = co_await read_value(in, format, timeout)) {
      if constexpr (std::same_as<typename Codec::value_type, int>) {
        all += std::to_string(*value) + ' ';
      } else {
        all += std::string(*value) + ' ';
      }
    }
    all += "end";
  } catch (const std::system_error& error) {
    all += error.what();
  } catch (const std::runtime_error& error) {
    all += error.what();
  } catch (const cancelled&) {
    all += "cancelled";
  }
  co_return all;
}

// What values_in_words() says of this text in one piece, in a reader with that limit.
template <class Codec>
std::string decoded_text(std::string text, Codec format, std::size_t limit = 100) {
  std::string words;
  on_script([&]() -> task<> {
    auto [near, far] = memory_stream::pair();
    co_await near.write_all(text);
    near.shutdown_write();
    reader in(far, limit);
    words = co_await values_in_words(in, format);
  });
  return words;
}

}  // namespace

TEST_CASE("values arrive whole wherever the stream is split") {
  const std::string text = "1;22;;333;";
  for (std::size_t split = 0; split <= text.size(); ++split) {
    CAPTURE(split);
    on_script([&]() -> task<> {
      auto [near, far] = memory_stream::pair();
      memory_stream& from = far;
      const auto reading = spawn([&]() -> task<std::string> {
        reader in(from);
        number_codec numbers;
        co_return co_await values_in_words(in, numbers);
      });
      co_await settle();
      co_await near.write_all(std::string_view(text).substr(0, split));
      co_await settle();
      co_await near.write_all(std::string_view(text).substr(split));
      near.shutdown_write();
      const std::string words = co_await reading.get();
      CHECK(words == "1 22 0 333 end");
    });
  }
}

TEST_CASE("values arrive byte by byte, over a connection and a standard stream, too") {
  for (const source& from : sources) {
    CAPTURE(from.name);
    on_stage([&](stage& s) -> task<> {
      std::optional<reader> in;
      if (from.fd == stream_fd) {
        in.emplace(s.stream);
      } else {
        in.emplace(s.standard);
      }
      number_codec numbers;
      const auto reading = spawn(values_in_words(*in, numbers));
      for (const std::string_view byte : {"1", ";", "2", "2", ";", ""}) {
        co_await settle();
        from.bring(s, byte);
      }
      const std::string words = co_await reading.get();
      CHECK(words == "1 22 end");
    });
  }
}

TEST_CASE("decode() is called once for each value that has arrived, and not before enough bytes") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    co_await near.write_all("1;2;3;");
    reader in(far);
    number_codec numbers;
    for (int i = 1; i <= 3; ++i) {
      const auto value = co_await read_value(in, numbers);
      CHECK(value == i);
      CHECK(numbers.calls == i);
    }
  });
}

TEST_CASE("the error of a codec is thrown with the name of the call, and nothing is taken") {
  CHECK(decoded_text("1;x;", number_codec()) ==
        "1 read_value: " + std::make_error_code(std::errc::invalid_argument).message());
  CHECK(decoded_text("1;t;", number_codec()) == "1 t is not a digit");
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    co_await near.write_all("12x;");
    reader in(far);
    number_codec numbers;
    for (int i = 0; i < 2; ++i) {
      const auto refused = co_await as_result(read_value(in, numbers));
      CHECK(refused.error() == std::errc::invalid_argument);
    }
    CHECK(in.peek() == "12x;");
    in.consume(4);  // a program that knows where the next value begins
    co_await near.write_all("5;");
    const auto next = co_await read_value(in, numbers);
    CHECK(next == 5);
  });
}

TEST_CASE("a stream that ends within a value is an error, and the bytes stay") {
  CHECK(decoded_text("1;2", number_codec()) == "1 read_value: unexpected end of stream");
}

TEST_CASE(
    "a value as long as the limit is returned, and a longer one is an error that names both") {
  CHECK(decoded_text("123;", number_codec(), 4) == "123 end");
  CHECK(decoded_text("1234;", number_codec(), 4) ==
        "read_value: a value of at least 5 bytes, and the limit is 4: the message exceeds the size "
        "limit");
  CHECK(decoded_text("x", odd_codec{more_bytes(std::numeric_limits<std::size_t>::max())}, 4)
            .starts_with(
                "read_value: a value of at least 18446744073709551615 bytes, and the limit is 4"));
}

TEST_CASE("a call that is killed or timed out after any byte loses none") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    reader in(far);
    number_codec numbers;
    const std::string_view text = "1234;";
    for (std::size_t had = 0; had < text.size(); ++had) {
      const std::string late = co_await values_in_words(in, numbers, 5ms);
      CHECK(late == "peek: timed out");
      const auto killed = spawn(values_in_words(in, numbers));
      co_await settle();
      killed.request_kill();
      const std::string words = co_await killed.get();
      CHECK(words == "cancelled");
      co_await near.write_all(text.substr(had, 1));
    }
    const auto value = co_await read_value(in, numbers);
    CHECK(value == 1234);
  });
}

TEST_CASE("one limit covers all waits of a call") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    memory_stream& to = near;
    const auto dripping = spawn([&]() -> task<> {
      for (;;) {
        co_await to.write_all("1");
        co_await sleep(4ms);
      }
    });
    reader in(far);
    number_codec numbers;
    const auto late = co_await as_result(read_value(in, numbers, 10ms));
    CHECK(late.error() == errc::timed_out);
    dripping.request_kill();
    co_await dripping.join();
  });
}

TEST_CASE("write_value() sends what encode() appends, or collects it") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    writer out(near);
    number_codec numbers;
    co_await write_value(out, numbers, 12);
    CHECK(near.bytes_written() == 3);
    out.cork();
    co_await write_value(out, numbers, 3);
    CHECK(near.bytes_written() == 3);
    co_await out.flush();
    bool thrown = false;
    try {
      co_await write_value(out, numbers, -1);
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    CHECK(thrown);
    near.shutdown_write();
    reader in(far);
    const std::string words = co_await values_in_words(in, numbers);
    CHECK(words == "12 3 end");
  });
}

TEST_CASE("a value that is read and written costs no allocation") {
  if (!allocations_are_counted()) return;
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    writer out(near);
    reader in(far);
    number_codec numbers;
    std::size_t made = 1;
    for (int i = 0; i < 3; ++i) {
      for (int k = 0; k < 100; ++k) co_await near.write_all("7;");
      co_await read_value(in, numbers);  // receives all
      const std::size_t before = allocations();
      for (int k = 1; k < 100; ++k) co_await read_value(in, numbers);
      made = allocations() - before;
    }
    CHECK(made == 0);
  });
}

// Values in frames

TEST_CASE("values in frames cross a stream in every format") {
  for (const frame_kind& kind : frame_kinds) {
    CAPTURE(kind.name);
    on_script([&]() -> task<> {
      auto [near, far] = memory_stream::pair();
      writer out(near);
      framed<text_codec> texts(kind.format);
      const std::string large = pattern(200);
      const std::array<std::string_view, 4> all{"", "a", "hello", large};
      for (const std::string_view text : all) co_await write_value(out, texts, text);
      near.shutdown_write();
      reader in(far);
      for (const std::string_view text : all) {
        const auto value = co_await read_value(in, texts);
        REQUIRE(value.has_value());
        CHECK(*value == text);
      }
      const auto end = co_await read_value(in, texts);
      CHECK_FALSE(end.has_value());
    });
    // The same bytes as write_frame().
    std::string bytes = "before";
    framed<text_codec>(kind.format).encode("hello", bytes);
    CHECK(bytes == "before" + frame_of(kind, "hello"));
  }
}

TEST_CASE("a frame that its value does not fill, or that is too short for it, is malformed") {
  const frame_kind& kind = frame_kinds[0];
  const framed<number_codec> numbers(length_prefix::u8);
  CHECK(decoded_text(frame_of(kind, "12;") + frame_of(kind, "3;"), numbers) == "12 3 end");
  const std::string refused = "read_value: " + malformed;
  CHECK(decoded_text(frame_of(kind, "12;3"), numbers) == refused);
  CHECK(decoded_text(frame_of(kind, "12") + ";", numbers) == refused);
  CHECK(decoded_text(frame_of(kind, ""), numbers) == refused);
  CHECK(decoded_text(std::string(10, '\xff'), framed<number_codec>(length_prefix::varint)) ==
        refused);
  CHECK(decoded_text(frame_of(kind, "1x"), numbers) ==
        "read_value: " + std::make_error_code(std::errc::invalid_argument).message());
}

TEST_CASE("decode() of a value in a frame gets all bytes of the frame, once, and perhaps none") {
  std::vector<std::string> calls;
  struct noting_codec {
    using value_type = int;
    decoded<int> decode(std::string_view bytes) const {
      into->emplace_back(bytes);
      return {7, bytes.size()};
    }
    void encode(const int&, std::string&) const {}
    std::vector<std::string>* into;
  };
  on_script([&]() -> task<> {
    auto [near, far] = memory_stream::pair();
    memory_stream& from = far;
    const auto reading = spawn([&]() -> task<std::string> {
      reader in(from);
      framed<noting_codec> notes(length_prefix::u8, noting_codec{&calls});
      co_return co_await values_in_words(in, notes);
    });
    for (const char byte : frame_of(frame_kinds[0], "") + frame_of(frame_kinds[0], "ab")) {
      co_await settle();
      co_await near.write_all(std::string_view(&byte, 1));
    }
    near.shutdown_write();
    const std::string words = co_await reading.get();
    CHECK(words == "7 7 end");
  });
  CHECK(calls == std::vector<std::string>{"", "ab"});
}

TEST_CASE("the length of a frame is compared with the limit before its bytes arrive") {
  for (const std::uint64_t length :
       {std::uint64_t(13), std::uint64_t(1) << 63, ~std::uint64_t(0)}) {
    CAPTURE(length);
    const std::string words =
        decoded_text(prefix_of(frame_kinds[5], length), framed<text_codec>(length_prefix::u64), 20);
    CHECK(words.starts_with("read_value: a value of at least "));
    CHECK(words.ends_with(", and the limit is 20: the message exceeds the size limit"));
  }
  CHECK(decoded_text(frame_of(frame_kinds[5], "123456789012"),
                     framed<text_codec>(length_prefix::u64), 20) == "123456789012 end");
}

TEST_CASE("a value that its prefix cannot express is refused, and nothing is appended") {
  framed<text_codec> texts(length_prefix::u8);
  std::string bytes = "before";
  std::string words;
  try {
    texts.encode(pattern(256), bytes);
  } catch (const std::system_error& error) {
    CHECK(error.code() == errc::too_long);
    words = error.what();
  }
  CHECK(words.starts_with("framed: a value of 256 bytes, and the limit is 255: "));
  CHECK(bytes == "before");
  texts.encode(pattern(255), bytes);
  CHECK(bytes.size() == 6 + 1 + 255);
}

// Misuse

TEST_CASE("a codec that takes nothing, too much, or asks for 0 bytes aborts and says so") {
  const auto decoded_by = [](decoded<int> answer) { (void)decoded_text("x", odd_codec{answer}); };
  const char* const sizes = "decode() of a codec took no bytes, or more than it was given";
  CHECK(aborts_with(sizes, [&] { decoded_by(decoded<int>(1, 0)); }));
  CHECK(aborts_with(sizes, [&] { decoded_by(decoded<int>(1, 2)); }));
  CHECK(aborts_with("decode() of a codec asked for 0 more bytes",
                    [&] { decoded_by(more_bytes(0)); }));
}

TEST_SUITE_END();
