// What is refused before a name is looked up.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/host_and_service.hpp>

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <stdexcept>

namespace ringlet::detail {
namespace {

constexpr std::size_t host_max = 253;  // RFC 1035, without the dot at the end
constexpr std::size_t service_max = 63;

bool is_blank_or_control(char c) noexcept {
  return static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
}

// What cannot be printed is shown as '?': a zero byte would end the message.
[[noreturn]] void refuse(std::string_view text, const char* what, const std::string& reason) {
  std::string quoted(text.substr(0, host_max));
  for (char& c : quoted) {
    if (c != ' ' && is_blank_or_control(c)) c = '?';
  }
  throw std::invalid_argument('"' + quoted + "\" is not " + what + ": " + reason);
}

bool has_blank_or_control(std::string_view text) noexcept {
  return std::any_of(text.begin(), text.end(), &is_blank_or_control);
}

}  // namespace

host_and_service split_host_and_service(std::string_view text) {
  constexpr const char* what = "a host and a port";
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    refuse(text, what, "the port is missing, as in example.org:443");
  }
  std::string_view host = text.substr(0, colon);
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') {
      refuse(text, what, "the closing bracket is missing, as in [::1]:443");
    }
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) {
      refuse(text, what, "brackets are for IPv6 addresses");
    }
  } else if (host.find(':') != std::string_view::npos) {
    refuse(text, what, "an IPv6 address needs brackets, as in [::1]:443");
  }
  return {std::string(host), std::string(text.substr(colon + 1))};
}

std::optional<std::uint16_t> check_service(std::string_view service) {
  constexpr const char* what = "a service";
  if (service.empty()) refuse(service, what, "give a port from 0 to 65535, or a name");
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (std::all_of(service.begin(), service.end(), is_digit)) {
    std::uint16_t port = 0;
    const char* const end = service.data() + service.size();
    if (std::from_chars(service.data(), end, port).ec != std::errc()) {
      refuse(service, what, "a port is a number from 0 to 65535");
    }
    return port;
  }
  if (service.size() > service_max) {
    refuse(service, what, "a name has at most " + std::to_string(service_max) + " bytes");
  }
  if (has_blank_or_control(service)) {
    refuse(service, what, "a name has no blanks and no control characters");
  }
  return std::nullopt;
}

std::optional<address> check_host(const std::string& host) {
  constexpr const char* what = "a host";
  if (host.empty()) refuse(host, what, "it is empty");
  const std::size_t length = host.size() - (host.back() == '.' ? 1 : 0);
  if (length > host_max) {
    refuse(host, what, "a name has at most " + std::to_string(host_max) + " bytes");
  }
  if (has_blank_or_control(host)) {
    refuse(host, what, "a name has no blanks and no control characters");
  }
  in6_addr ignored;
  if (::inet_pton(AF_INET, host.c_str(), &ignored) == 1) return address::parse(host, 0);
  if (host.find(':') != std::string::npos) {
    const std::string without_zone = host.substr(0, host.find('%'));
    if (::inet_pton(AF_INET6, without_zone.c_str(), &ignored) == 1) return address::parse(host, 0);
    refuse(host, what, "it has a colon, and is not an IPv6 address");
  }
  if (host.find_first_of("[]/") != std::string::npos) {
    refuse(host, what, "a name has no brackets and no slashes");
  }
  return std::nullopt;
}

}  // namespace ringlet::detail
