// frame_format: the bytes of every prefix in both byte orders, and invalid prefixes.
// SPDX-License-Identifier: MIT
#include <ringlet/frame_format.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>

#include "frame_model.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("frame_format");

namespace {

using namespace std::string_view_literals;

std::string encoded(frame_format format, std::uint64_t length) {
  std::array<char, frame_format::prefix_max> memory;
  const std::size_t size = format.encode_length(length, memory);
  return {memory.data(), size};
}

// Lengths around every change of the number of bytes and bits.
template <class F>
void for_each_length(std::uint64_t most, F check) {
  check(std::uint64_t(0));
  check(most);
  for (unsigned bit = 0; bit < 64; ++bit) {
    const std::uint64_t power = std::uint64_t(1) << bit;
    for (const std::uint64_t length : {power - 1, power, power + 1}) {
      if (length <= most) check(length);
    }
  }
}

}  // namespace

TEST_CASE("a prefix has the documented bytes") {
  CHECK(encoded(length_prefix::u8, 0xab) == "\xab");
  CHECK(encoded(length_prefix::u16, 0x1234) == "\x12\x34");
  CHECK(encoded({length_prefix::u16, little}, 0x1234) == "\x34\x12");
  CHECK(encoded({}, 5) == "\0\0\0\x05"sv);
  CHECK(encoded(length_prefix::u32, 0x12345678) == "\x12\x34\x56\x78");
  CHECK(encoded({length_prefix::u32, little}, 0x12345678) == "\x78\x56\x34\x12");
  CHECK(encoded(length_prefix::u64, 0x123456789abcdef0) == "\x12\x34\x56\x78\x9a\xbc\xde\xf0");
  CHECK(encoded({length_prefix::u64, little}, 1) == "\x01\0\0\0\0\0\0\0"sv);
  // The example of Protocol Buffers' documentation.
  CHECK(encoded(length_prefix::varint, 150) == "\x96\x01");
  CHECK(encoded(length_prefix::varint, 0) == "\0"sv);
  CHECK(encoded(length_prefix::varint, 127) == "\x7f");
  CHECK(encoded(length_prefix::varint, 128) == "\x80\x01");
  CHECK(encoded(length_prefix::varint, std::numeric_limits<std::uint64_t>::max()) ==
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
}

TEST_CASE("every length is the same after encoding and decoding, wherever its prefix is cut off") {
  for (const frame_kind& kind : frame_kinds) {
    CAPTURE(kind.name);
    for_each_length(kind.format.max_length(), [&](std::uint64_t length) {
      CAPTURE(length);
      const std::string prefix = encoded(kind.format, length);
      REQUIRE(prefix == prefix_of(kind, length));
      for (std::size_t size = 0; size < prefix.size(); ++size) {
        const auto early = kind.format.decode_length(std::string_view(prefix).substr(0, size));
        REQUIRE_FALSE(early);
        REQUIRE_FALSE(early.error());
        REQUIRE(early.more() == (kind.size == 0 ? 1 : prefix.size() - size));
      }
      for (const std::string_view rest : {""sv, "\x80"sv, "more bytes"sv}) {
        const auto whole = kind.format.decode_length(prefix + std::string(rest));
        REQUIRE(whole);
        REQUIRE(*whole == length);
        REQUIRE(whole.used() == prefix.size());
      }
    });
  }
}

TEST_CASE("a varint may be padded to 10 bytes, and not more") {
  const frame_format varint = length_prefix::varint;
  const auto padded = varint.decode_length("\x85\x80\x80\x80\0rest"sv);
  REQUIRE(padded);
  CHECK(*padded == 5);
  CHECK(padded.used() == 5);
  const auto longest = varint.decode_length("\x85\x80\x80\x80\x80\x80\x80\x80\x80\0"sv);
  REQUIRE(longest);
  CHECK(*longest == 5);
  CHECK(longest.used() == 10);
  const auto longer = varint.decode_length("\x85\x80\x80\x80\x80\x80\x80\x80\x80\x80\0"sv);
  CHECK(longer.error() == std::errc::bad_message);
  // It is known after 10 bytes.
  const auto known = varint.decode_length("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"sv);
  CHECK(known.error() == std::errc::bad_message);
  const auto unknown = varint.decode_length("\x80\x80\x80\x80\x80\x80\x80\x80\x80"sv);
  CHECK(unknown.more() == 1);
}

TEST_CASE("a varint of more than 64 bits is malformed") {
  const frame_format varint = length_prefix::varint;
  for (const std::string_view last : {"\x02"sv, "\x03"sv, "\x7f"sv, "\x81"sv, "\xff"sv}) {
    const auto refused =
        varint.decode_length("\xff\xff\xff\xff\xff\xff\xff\xff\xff" + std::string(last));
    CHECK(refused.error() == std::errc::bad_message);
  }
}

TEST_CASE("the largest length depends on the prefix, not on the order") {
  CHECK(frame_format(length_prefix::u8).max_length() == 0xff);
  CHECK(frame_format(length_prefix::u16, little).max_length() == 0xffff);
  CHECK(frame_format().max_length() == 0xffffffff);
  CHECK(frame_format(length_prefix::u64).max_length() == 0xffffffffffffffff);
  CHECK(frame_format(length_prefix::varint).max_length() == 0xffffffffffffffff);
  CHECK(frame_format() == frame_format(length_prefix::u32, big));
  CHECK_FALSE(frame_format() == frame_format(length_prefix::u32, little));
}

TEST_CASE("encoding a length that the prefix cannot express aborts and says so") {
  CHECK(aborts_with("a frame is longer than its prefix can express",
                    [] { (void)encoded(length_prefix::u8, 256); }));
  CHECK(aborts_with("a frame is longer than its prefix can express",
                    [] { (void)encoded({}, std::uint64_t(1) << 32); }));
}

TEST_SUITE_END();
