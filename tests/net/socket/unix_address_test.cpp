// The addresses of Unix sockets: parsed, printed, compared, and refused when they are too long.
// SPDX-License-Identifier: MIT
#include <ringlet/unix_address.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>

using namespace ringlet;
using namespace std::string_view_literals;

TEST_SUITE_BEGIN("unix_address");

namespace {

std::string refusal_of(std::string_view text) {
  try {
    unix_address::parse(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "none";
}

bool says(const std::string& message, std::string_view part) {
  return message.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("an address is a path, an abstract name, or unnamed") {
  const auto path = unix_address::parse("/run/x.sock");
  CHECK(path.is_path());
  CHECK_FALSE(path.is_abstract());
  CHECK(path.name() == "/run/x.sock");
  CHECK(path.size() == offsetof(sockaddr_un, sun_path) + 12);
  const auto name = unix_address::parse("@x");
  CHECK(name.is_abstract());
  CHECK_FALSE(name.is_path());
  CHECK(name.name() == "x");
  CHECK(name.size() == offsetof(sockaddr_un, sun_path) + 2);
  const unix_address none;
  CHECK_FALSE(none.is_path());
  CHECK_FALSE(none.is_abstract());
  CHECK(none.name().empty());
  CHECK(none.size() == offsetof(sockaddr_un, sun_path));
}

TEST_CASE("to_string() prints what parse() reads") {
  for (const char* text : {"/run/x.sock", "x.sock", "@x", "@x/y", "./@x"}) {
    CHECK(unix_address::parse(text).to_string() == text);
  }
  CHECK(unix_address::path("@x").to_string() == "./@x");
  CHECK(unix_address::abstract("a\0b"sv).to_string() == "@a@b");
  CHECK(unix_address().to_string() == "unnamed");
}

TEST_CASE("addresses are equal if their kinds and names are") {
  CHECK(unix_address::parse("x") == unix_address::path("x"));
  CHECK(unix_address::parse("@x") == unix_address::abstract("x"));
  CHECK(unix_address::parse("@x") != unix_address::parse("x"));
  CHECK(unix_address::parse("x") < unix_address::parse("y"));
  CHECK(unix_address() < unix_address::parse("x"));
  CHECK(unix_address::abstract("a\0b"sv) != unix_address::abstract("a\0c"sv));
}

TEST_CASE("an address of the largest size is accepted, and a longer one is refused") {
  const std::string longest(unix_address::name_max, 'x');
  CHECK(unix_address::path(longest).name() == longest);
  CHECK(unix_address::abstract(longest).name() == longest);
  CHECK(says(refusal_of(longest + 'x'), "at most 107 bytes, and this one has 108"));
  CHECK(says(refusal_of('@' + longest + 'x'), "at most 107 bytes, and this one has 108"));
}

TEST_CASE("an empty address, and a path with a zero byte, are refused") {
  CHECK(says(refusal_of(""), "a path has at least 1 byte"));
  CHECK(says(refusal_of("@"), "an abstract name has at least 1 byte"));
  CHECK(says(refusal_of("a\0b"sv), "a zero byte follows"));
}

TEST_CASE("an address that the kernel has written keeps its size") {
  unix_address found = unix_address::parse("/run/some/longer/path");
  auto& raw = *reinterpret_cast<sockaddr_un*>(found.data());
  raw.sun_path[0] = '\0';
  raw.sun_path[1] = 'x';
  found.set_size(offsetof(sockaddr_un, sun_path) + 2);
  CHECK(found == unix_address::parse("@x"));
  found.set_size(0);
  CHECK(found == unix_address());
  CHECK(found.to_string() == "unnamed");
}

TEST_SUITE_END();
