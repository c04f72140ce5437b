// host_and_service: splits and checks the text of a name.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringlet::detail {

struct host_and_service {
  std::string host;
  std::string service;
};

/// "example.org:443", "example.org:https", "192.0.2.1:80", "[::1]:80". Throws
/// std::invalid_argument.
host_and_service split_host_and_service(std::string_view text);

/// The port if the service is a number. Throws std::invalid_argument for what no service is.
std::optional<std::uint16_t> check_service(std::string_view service);

/// The address if the host is numeric. Throws std::invalid_argument for what no host is.
std::optional<address> check_host(const std::string& host);

}  // namespace ringlet::detail
