// Socket activation, as sd_listen_fds(3) describes it.
// SPDX-License-Identifier: MIT
#include <ringlet/error.hpp>
#include <ringlet/listening_descriptors.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace ringlet {

namespace {

constexpr int first_descriptor = 3;
// More than any limit on open descriptors that a manager sets.
constexpr int count_max = 1 << 20;

// The value, which is removed from the environment.
std::optional<std::string> take_variable(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr) return {};
  std::string taken = value;
  ::unsetenv(name);
  return taken;
}

int number_in(const char* name, const std::string& text, int most) {
  int found = 0;
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, found);
  if (error == std::errc() && last == end && found >= 0 && found <= most) return found;
  throw std::invalid_argument(std::string(name) + " is \"" + text +
                              "\": a decimal number from 0 to " + std::to_string(most));
}

// The name with that index in a list with colons.
std::string name_at(std::string_view names, int index) {
  for (; index > 0; --index) {
    const std::size_t colon = names.find(':');
    if (colon == names.npos) return "unknown";
    names.remove_prefix(colon + 1);
  }
  const std::string_view name = names.substr(0, names.find(':'));
  return name.empty() ? "unknown" : std::string(name);
}

}  // namespace

std::vector<listening_descriptor> listening_descriptors() {
  const auto count_text = take_variable("LISTEN_FDS");
  const auto process_text = take_variable("LISTEN_PID");
  const auto names = take_variable("LISTEN_FDNAMES");
  std::vector<listening_descriptor> all;
  if (!count_text || !process_text) return all;
  constexpr int process_max = 1 << 30;  // more than the kernel's 2^22
  if (number_in("LISTEN_PID", *process_text, process_max) != ::getpid()) return all;
  const int count = number_in("LISTEN_FDS", *count_text, count_max);
  for (int i = 0; i < count; ++i) {
    const int fd = first_descriptor + i;
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0) {
      const std::string what = "descriptor " + std::to_string(fd) + " of LISTEN_FDS";
      throw_error({errno, std::system_category()}, what.c_str());
    }
  }
  all.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    all.push_back({unique_fd(first_descriptor + i), name_at(names.value_or(""), i)});
  }
  return all;
}

}  // namespace ringlet
