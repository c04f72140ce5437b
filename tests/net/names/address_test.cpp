// address: parsing what it prints, saying what is wrong with text that it cannot parse, and
// ordering by the numbers.
// SPDX-License-Identifier: MIT
#include <ringlet/address.hpp>

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using namespace ringlet;

namespace {

// The message for text that is not an address; empty for an address.
std::string complaint(std::string_view text) {
  try {
    address::parse(text);
    return {};
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_SUITE_BEGIN("address");

TEST_CASE("an address prints as the text that it was parsed from") {
  for (const std::string_view text : {
           "0.0.0.0:0",
           "127.0.0.1:9090",
           "255.255.255.255:65535",
           "[::]:0",
           "[::1]:9090",
           "[2001:db8::1]:443",
           "[2001:db8:1:2:3:4:5:6]:65535",
           "[::ffff:192.0.2.1]:80",
       }) {
    CAPTURE(text);
    const address read = address::parse(text);
    CHECK(read.to_string() == text);
    CHECK(address::parse(read.to_string()) == read);
    CHECK(address::parse(read.host(), read.port()) == read);
  }
}

TEST_CASE("an address in another spelling is parsed, and prints in the canonical one") {
  CHECK(address::parse("[0:0:0:0:0:0:0:1]:1").to_string() == "[::1]:1");
  CHECK(address::parse("[2001:DB8::A]:1").to_string() == "[2001:db8::a]:1");
  CHECK(address::parse("127.0.0.1:0080").port() == 80);
}

TEST_CASE("an address has a family, a host and a port") {
  const address v4 = address::parse("192.0.2.1:9090");
  CHECK_FALSE(v4.is_ipv6());
  CHECK(v4.host() == "192.0.2.1");
  CHECK(v4.port() == 9090);
  CHECK(v4.size() == sizeof(sockaddr_in));
  CHECK(v4.data()->sa_family == AF_INET);

  const address v6 = address::parse("[2001:db8::1]:9090");
  CHECK(v6.is_ipv6());
  CHECK(v6.host() == "2001:db8::1");
  CHECK(v6.port() == 9090);
  CHECK(v6.size() == sizeof(sockaddr_in6));
  CHECK(v6.data()->sa_family == AF_INET6);
  CHECK(address::capacity >= v6.size());
}

TEST_CASE("the named addresses, such as loopback, match their names") {
  CHECK(address().to_string() == "0.0.0.0:0");
  CHECK(address::loopback(80).to_string() == "127.0.0.1:80");
  CHECK(address::any(80).to_string() == "0.0.0.0:80");
}

TEST_CASE("the system reads the same values from an address") {
  const address v4 = address::parse("192.0.2.7:258");
  sockaddr_in raw{};
  std::copy_n(reinterpret_cast<const char*>(v4.data()), sizeof raw, reinterpret_cast<char*>(&raw));
  CHECK(raw.sin_port == htons(258));
  CHECK(ntohl(raw.sin_addr.s_addr) == 0xC0000207U);
}

TEST_CASE("a zone is a number or the name of an interface, and prints as a name") {
  const unsigned loopback = ::if_nametoindex("lo");
  REQUIRE(loopback != 0);
  const address by_name = address::parse("[fe80::1%lo]:9090");
  CHECK(by_name.to_string() == "[fe80::1%lo]:9090");
  CHECK(address::parse("[fe80::1%" + std::to_string(loopback) + "]:9090") == by_name);
  CHECK(address::parse("fe80::1%lo", 9090) == by_name);
  // No interface has that number.
  CHECK(address::parse("[fe80::1%987654321]:9090").to_string() == "[fe80::1%987654321]:9090");
}

TEST_CASE("text that is not an address is refused with a message that says why and quotes it") {
  struct refusal {
    std::string_view text;
    std::string_view why;
  };
  for (const auto& [text, why] : {
           refusal{"", "the port is missing, as in 127.0.0.1:9090"},
           refusal{"127.0.0.1", "the port is missing"},
           refusal{"127.0.0.1:", "the port is not a number from 0 to 65535"},
           refusal{"127.0.0.1:http", "the port is not a number"},
           refusal{"127.0.0.1:65536", "the port is not a number"},
           refusal{"127.0.0.1:-1", "the port is not a number"},
           refusal{"127.0.0.1:+1", "the port is not a number"},
           refusal{"127.0.0.1: 1", "the port is not a number"},
           refusal{"127.0.0.1:80 ", "the port is not a number"},
           refusal{"127.0.0.1:0x50", "the port is not a number"},
           refusal{"[::1:80", "the closing bracket is missing, as in [::1]:9090"},
           refusal{"[::1]x:80", "the closing bracket is missing"},
           refusal{"[:80", "the closing bracket is missing"},
           refusal{"[127.0.0.1]:80", "brackets are for IPv6 addresses"},
           refusal{"[]:80", "brackets are for IPv6 addresses"},
           refusal{"::1:80", "an IPv6 address needs brackets, as in [::1]:9090"},
           refusal{"::1", "an IPv6 address needs brackets"},
           refusal{"[::1]", "the port is not a number"},
           refusal{"fe80::1%lo:80", "an IPv6 address needs brackets"},
       }) {
    CAPTURE(text);
    const std::string said = complaint(text);
    CHECK(contains(said, why));
    CHECK(contains(said, "\"" + std::string(text) + "\" is not an address"));
  }
}

TEST_CASE("a host name is refused, because ringlet does not look names up") {
  for (const std::string_view text :
       {"localhost:80", "example.org:80", ":80", "1.2.3:80", "1.2.3.4.5:80", "256.0.0.1:80",
        "127.0.0.01:80", " 127.0.0.1:80", "127.0.0.1%lo:80", "[::g]:80", "[::1::2]:80"}) {
    CAPTURE(text);
    CHECK(contains(complaint(text), "neither IPv4 nor IPv6; names are not looked up"));
  }
}

TEST_CASE("a zone that no interface has is refused") {
  for (const std::string_view text :
       {"[fe80::1%nosuchif]:80", "[fe80::1%]:80", "[fe80::1%-1]:80", "[fe80::1%4294967296]:80"}) {
    CAPTURE(text);
    CHECK(contains(complaint(text), "there is no network interface with the name"));
  }
}

TEST_CASE("a host with a zero byte inside is refused, not truncated") {
  using namespace std::string_view_literals;
  for (const std::string_view text : {"127.0.0.1\0.example.org:80"sv, "127.0.0.1:80\0"sv,
                                      "[::1\0x]:80"sv, "[fe80::1%lo\0x]:80"sv}) {
    CHECK(contains(complaint(text), "is not an address: a zero byte follows"));
  }
}

TEST_CASE("addresses are ordered by family, then by address, then by port") {
  const std::vector<std::string_view> ascending = {
      "0.0.0.0:0",       "0.0.0.0:1",     "1.2.3.4:65535",   "1.2.3.5:0", "127.0.0.1:255",
      "127.0.0.1:256",   "200.0.0.1:1",   "[::]:0",          "[::1]:1",   "[::1]:2",
      "[2001:db8::1]:1", "[fe80::1%1]:9", "[fe80::1%700]:8",
  };
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    for (std::size_t j = 0; j < ascending.size(); ++j) {
      CAPTURE(ascending[i]);
      CAPTURE(ascending[j]);
      const address a = address::parse(ascending[i]);
      const address b = address::parse(ascending[j]);
      CHECK((a <=> b) == (i <=> j));
      CHECK((a == b) == (i == j));
    }
  }
}

TEST_CASE("a copy equals what it was copied from") {
  address copy = address::parse("[fe80::1%lo]:80");
  const address original = copy;
  CHECK(copy == original);
  copy = address::parse("10.0.0.1:80");
  CHECK(copy != original);
  CHECK(copy.to_string() == "10.0.0.1:80");
}

TEST_CASE("an IPv4-mapped IPv6 address is unmapped to IPv4, and any other address is unchanged") {
  CHECK(address::parse("[::ffff:192.0.2.1]:9090").unmapped() == address::parse("192.0.2.1:9090"));
  for (const char* other : {"[2001:db8::1]:9090", "[::1]:1", "[::192.0.2.1]:1", "192.0.2.1:9090"}) {
    CHECK(address::parse(other).unmapped() == address::parse(other));
  }
}

TEST_SUITE_END();
