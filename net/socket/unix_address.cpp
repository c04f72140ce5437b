// Makes, prints and compares addresses of Unix sockets.
// SPDX-License-Identifier: MIT
#include <ringlet/unix_address.hpp>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace ringlet {
namespace {

[[noreturn]] void refuse(std::string_view text, const std::string& reason) {
  const std::string shown(text.substr(0, text.find('\0')));
  throw std::invalid_argument('"' + shown + "\" is not the address of a Unix socket: " + reason);
}

void check_length(std::string_view text, const char* kind) {
  if (text.empty()) refuse(text, std::string(kind) + " has at least 1 byte");
  if (text.size() <= unix_address::name_max) return;
  refuse(text, std::string(kind) + " of a Unix socket has at most " +
                   std::to_string(unix_address::name_max) + " bytes, and this one has " +
                   std::to_string(text.size()));
}

}  // namespace

unix_address::unix_address() noexcept { data_.sun_family = AF_UNIX; }

unix_address unix_address::parse(std::string_view text) {
  return text.starts_with('@') ? abstract(text.substr(1)) : path(text);
}

unix_address unix_address::path(std::string_view path) {
  check_length(path, "a path");
  if (path.find('\0') != std::string_view::npos) refuse(path, "a zero byte follows");
  unix_address made;
  std::memcpy(made.data_.sun_path, path.data(), path.size());
  made.length_ = header + static_cast<socklen_t>(path.size()) + 1;
  return made;
}

unix_address unix_address::abstract(std::string_view name) {
  check_length(name, "an abstract name");
  unix_address made;
  std::memcpy(made.data_.sun_path + 1, name.data(), name.size());
  made.length_ = header + 1 + static_cast<socklen_t>(name.size());
  return made;
}

std::string_view unix_address::name() const noexcept {
  const std::string_view all(data_.sun_path, length_ - header);
  if (is_abstract()) return all.substr(1);
  return all.substr(0, all.find('\0'));
}

std::string unix_address::to_string() const {
  std::string text(name());
  if (text.empty()) return "unnamed";
  std::replace(text.begin(), text.end(), '\0', '@');
  if (is_abstract()) return '@' + text;
  return text.front() == '@' ? "./" + text : text;
}

void unix_address::set_size(socklen_t size) noexcept {
  length_ = std::clamp<socklen_t>(size, header, capacity);
  data_.sun_family = AF_UNIX;
}

std::strong_ordering operator<=>(const unix_address& a, const unix_address& b) noexcept {
  if (a.is_abstract() != b.is_abstract()) return a.is_abstract() <=> b.is_abstract();
  return a.name() <=> b.name();
}

}  // namespace ringlet
