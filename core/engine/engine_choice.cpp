// Chooses the engine, and prints the line that says why it is not io_uring.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/report.hpp>
#include <ringlet/extend/engine.hpp>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace ringlet::extend {
namespace {

// Whether io_uring itself is refused. A lack of descriptors would affect epoll as well.
bool is_refusal(const std::error_code& error) noexcept {
  switch (error.value()) {
    case EPERM:
    case EACCES:
    case ENOSYS:
    case EOPNOTSUPP:
    case EINVAL:
    case ENOMEM:
      return error.category() == std::system_category();
    default:
      return false;
  }
}

engine_kind kind_from_environment() {
  const char* const text = std::getenv("RINGLET_ENGINE");
  if (text == nullptr || *text == '\0') return engine_kind::automatic;
  const std::string_view name = text;
  if (name == "uring") return engine_kind::uring;
  if (name == "epoll") return engine_kind::epoll;
  throw std::invalid_argument("RINGLET_ENGINE is '" + std::string(name) +
                              "'; it must be uring or epoll");
}

void tell_once(const char* why) {
  static std::atomic_flag told;
  if (told.test_and_set()) return;
  detail::report("ringlet: %s; epoll is used instead (RINGLET_ENGINE=epoll silences this)\n", why);
}

}  // namespace

std::unique_ptr<engine> make_engine(engine_kind kind, const engine_options& options) {
  if (kind == engine_kind::automatic) kind = kind_from_environment();
  if (kind != engine_kind::epoll) {
    try {
      return make_uring_engine(options);
    } catch (const std::system_error& error) {
      if (kind == engine_kind::uring || !is_refusal(error.code())) throw;
      tell_once(error.what());
    }
  }
  return make_epoll_engine(options);
}

}  // namespace ringlet::extend
