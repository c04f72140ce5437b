// Parses, prints and compares addresses.
// SPDX-License-Identifier: MIT
#include <ringlet/address.hpp>

#include <arpa/inet.h>
#include <net/if.h>

#include <charconv>
#include <cstring>
#include <optional>
#include <stdexcept>

namespace ringlet {
namespace {

[[noreturn]] void refuse(std::string_view text, const char* reason) {
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos) {
    text = text.substr(0, zero);
    reason = "a zero byte follows";
  }
  throw std::invalid_argument('"' + std::string(text) + "\" is not an address: " + reason);
}

template <class Number>
std::optional<Number> whole_number(std::string_view text) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end) return std::nullopt;
  return number;
}

// The zone of a link-local address: the number or the name of an interface.
std::optional<std::uint32_t> zone_id(const std::string& zone) {
  if (const auto number = whole_number<std::uint32_t>(zone)) return number;
  const unsigned index = ::if_nametoindex(zone.c_str());
  if (index == 0) return std::nullopt;
  return index;
}

}  // namespace

address::address() noexcept : storage_{} { storage_.ipv4.sin_family = AF_INET; }

address address::loopback(std::uint16_t port) noexcept {
  address made = any(port);
  made.storage_.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return made;
}

address address::any(std::uint16_t port) noexcept {
  address made;
  made.storage_.ipv4.sin_port = htons(port);
  return made;
}

address address::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) refuse(text, "the port is missing, as in 127.0.0.1:9090");
  std::string_view host = text.substr(0, colon);
  const auto port = whole_number<std::uint16_t>(text.substr(colon + 1));
  if (!port) refuse(text, "the port is not a number from 0 to 65535");
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') refuse(text, "the closing bracket is missing, as in [::1]:9090");
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) refuse(text, "brackets are for IPv6 addresses");
  } else if (host.find(':') != std::string_view::npos) {
    refuse(text, "an IPv6 address needs brackets, as in [::1]:9090");
  }
  return parse(host, *port);
}

address address::parse(std::string_view host, std::uint16_t port) {
  address made = any(port);
  const std::string text(host);
  // inet_pton() would stop at a zero byte.
  if (text.find('\0') != std::string::npos) refuse(host, "");
  if (::inet_pton(AF_INET, text.c_str(), &made.storage_.ipv4.sin_addr) == 1) return made;

  const std::size_t percent = text.find('%');
  made.storage_ = {};
  made.storage_.ipv6.sin6_family = AF_INET6;
  made.storage_.ipv6.sin6_port = htons(port);
  if (::inet_pton(AF_INET6, text.substr(0, percent).c_str(), &made.storage_.ipv6.sin6_addr) != 1) {
    refuse(host, "neither IPv4 nor IPv6; names are not looked up, so give a numeric address");
  }
  if (percent != std::string::npos) {
    const auto zone = zone_id(text.substr(percent + 1));
    if (!zone) refuse(host, "there is no network interface with the name after the percent sign");
    made.storage_.ipv6.sin6_scope_id = *zone;
  }
  return made;
}

address address::unmapped() const noexcept {
  if (!is_ipv6() || !IN6_IS_ADDR_V4MAPPED(&storage_.ipv6.sin6_addr)) return *this;
  address made = any(port());
  // The last four bytes; both structs hold them in network order.
  std::memcpy(&made.storage_.ipv4.sin_addr, &storage_.ipv6.sin6_addr.s6_addr[12], sizeof(in_addr));
  return made;
}

address address::with_port(std::uint16_t port) const noexcept {
  address made = *this;
  (is_ipv6() ? made.storage_.ipv6.sin6_port : made.storage_.ipv4.sin_port) = htons(port);
  return made;
}

std::uint16_t address::port() const noexcept {
  return ntohs(is_ipv6() ? storage_.ipv6.sin6_port : storage_.ipv4.sin_port);
}

std::string address::host() const {
  char text[INET6_ADDRSTRLEN];
  if (!is_ipv6()) return ::inet_ntop(AF_INET, &storage_.ipv4.sin_addr, text, sizeof text);
  std::string host = ::inet_ntop(AF_INET6, &storage_.ipv6.sin6_addr, text, sizeof text);
  if (storage_.ipv6.sin6_scope_id != 0) {
    char name[IF_NAMESIZE];
    const bool named = ::if_indextoname(storage_.ipv6.sin6_scope_id, name) != nullptr;
    host += '%' + (named ? std::string(name) : std::to_string(storage_.ipv6.sin6_scope_id));
  }
  return host;
}

std::string address::to_string() const {
  const std::string port_text = ":" + std::to_string(port());
  return is_ipv6() ? "[" + host() + "]" + port_text : host() + port_text;
}

std::strong_ordering operator<=>(const address& a, const address& b) noexcept {
  if (a.is_ipv6() != b.is_ipv6()) return a.is_ipv6() <=> b.is_ipv6();
  const auto bytes = [](const address& x) -> const void* {
    return x.is_ipv6() ? static_cast<const void*>(&x.storage_.ipv6.sin6_addr)
                       : &x.storage_.ipv4.sin_addr;
  };
  const int order =
      std::memcmp(bytes(a), bytes(b), a.is_ipv6() ? sizeof(in6_addr) : sizeof(in_addr));
  if (order != 0) return order <=> 0;
  if (a.is_ipv6() && a.storage_.ipv6.sin6_scope_id != b.storage_.ipv6.sin6_scope_id) {
    return a.storage_.ipv6.sin6_scope_id <=> b.storage_.ipv6.sin6_scope_id;
  }
  return a.port() <=> b.port();
}

}  // namespace ringlet
