// Any text as an address: either it is refused with a message that quotes it, or the parsed address
// prints as text that parses to the same address. And any address prints as text that parses to it.
// SPDX-License-Identifier: MIT
#include <ringlet/address.hpp>

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "fuzz/fuzz.hpp"

using namespace ringlet;
using namespace ringlet::test;

namespace {

// The address, unless it is refused as promised.
template <class... Parts>
std::optional<address> parsed(Parts... parts) {
  try {
    return address::parse(parts...);
  } catch (const std::invalid_argument& error) {
    demand(std::string_view(error.what()).find("\" is not an address: ") != std::string_view::npos,
           "a refusal says what is wrong:", error.what());
  }
  return std::nullopt;
}

void check(const address& one) {
  const std::string text = one.to_string();
  const auto again = parsed(std::string_view(text));
  demand(again && *again == one, "what is printed is read as the same address:", text);
  demand(again->to_string() == text, "the same address is printed in the same way:", text);
  demand(parsed(std::string_view(one.host()), one.port()) == one,
         "a host and a port are read as the same address:", text);
  demand(one.size() <= address::capacity, "an address is no larger than its capacity:", text);
  const address unmapped = one.unmapped();
  demand(unmapped.unmapped() == unmapped, "unmapping twice is unmapping once:", text);
  demand(unmapped.port() == one.port(), "unmapping keeps the port:", text);
}

// The first bytes become the fields of an IPv4 or IPv6 address.
address made_of(std::string_view bytes) {
  address made;
  const auto take = [&bytes](void* field, std::size_t size) {
    const std::size_t count = std::min(size, bytes.size());
    if (count != 0) std::memcpy(field, bytes.data(), count);
    bytes.remove_prefix(count);
  };
  if (bytes.size() <= sizeof(in_port_t) + sizeof(in_addr)) {
    sockaddr_in raw{};
    raw.sin_family = AF_INET;
    take(&raw.sin_port, sizeof raw.sin_port);
    take(&raw.sin_addr, sizeof raw.sin_addr);
    std::memcpy(made.data(), &raw, sizeof raw);
  } else {
    sockaddr_in6 raw{};
    raw.sin6_family = AF_INET6;
    take(&raw.sin6_port, sizeof raw.sin6_port);
    take(&raw.sin6_addr, sizeof raw.sin6_addr);
    take(&raw.sin6_scope_id, sizeof raw.sin6_scope_id);
    std::memcpy(made.data(), &raw, sizeof raw);
  }
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto read = parsed(text)) check(*read);
  if (const auto read = parsed(text, std::uint16_t{9090})) {
    demand(read->port() == 9090, "a port that comes apart from the host is the port");
    check(*read);
  }
  check(made_of(text));
  return 0;
}
