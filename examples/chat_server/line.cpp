// Prepends the time to a text.
// SPDX-License-Identifier: MIT
#include "line.hpp"

#include <ctime>

namespace chat {
namespace {

// The local time in seconds, in the form that begins a line.
std::string_view clock_text() {
  static std::time_t second = -1;
  static char text[time_bytes + 1] = {};
  const std::time_t now = std::time(nullptr);
  if (now != second) {
    second = now;
    std::tm parts = {};
    localtime_r(&now, &parts);
    std::strftime(text, sizeof text, "%H:%M:%S ", &parts);
  }
  return {text, time_bytes};
}

}  // namespace

line make_line(std::string_view text) {
  std::string all;
  all.reserve(time_bytes + text.size() + 1);
  all.append(clock_text()).append(text).push_back('\n');
  return std::make_shared<const std::string>(std::move(all));
}

}  // namespace chat
