// Binding Unix sockets, and removing the files of those that are gone.
// SPDX-License-Identifier: MIT
#include "socket_file.hpp"

#include <ringlet/detail/throw_invalid.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

namespace ringlet::detail {
using namespace extend;
namespace {

struct file_found {
  file_identity identity;
  bool is_socket;
};

/// Nothing if there is no such file. Symbolic links are not followed: bind(2) does not either.
std::optional<file_found> look_at(const char* path) noexcept {
  struct statx found = {};
  if (::statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_INO | STATX_BTIME, &found) !=
      0) {
    return std::nullopt;
  }
  constexpr std::int64_t nanoseconds_per_second = 1'000'000'000;
  const bool has_birth = (found.stx_mask & STATX_BTIME) != 0;
  const std::uint64_t device = (std::uint64_t{found.stx_dev_major} << 32) | found.stx_dev_minor;
  const std::int64_t born =
      has_birth ? found.stx_btime.tv_sec * nanoseconds_per_second + found.stx_btime.tv_nsec : 0;
  return file_found{{device, found.stx_ino, born}, S_ISSOCK(found.stx_mode)};
}

std::string text_of(const unix_address& where) { return std::string(where.name()); }

}  // namespace

socket_file::socket_file(const unix_address& where) {
  if (!where.is_path()) return;
  std::string path = text_of(where);
  const auto found = look_at(path.c_str());
  if (!found) return;  // it has been removed already
  path_ = std::move(path);
  identity_ = found->identity;
  owner_ = ::getpid();
}

socket_file::socket_file(socket_file&& other) noexcept
    : path_(std::exchange(other.path_, {})), identity_(other.identity_), owner_(other.owner_) {}

socket_file& socket_file::operator=(socket_file&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = std::exchange(other.path_, {});
    identity_ = other.identity_;
    owner_ = other.owner_;
  }
  return *this;
}

void socket_file::remove() noexcept {
  if (path_.empty()) return;
  if (owner_ == ::getpid()) {
    const auto found = look_at(path_.c_str());
    if (found && found->identity == identity_) ::unlink(path_.c_str());
  }
  path_.clear();
}

// The name of the lock: the directory by its identity, because it has several paths.
void socket_binder::lock(const unix_address& where) {
  const std::string path = text_of(where);
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const auto found = look_at((directory + "/.").c_str());
  if (!found) return;  // bind(2) reports it
  // Files with the same first bytes share a lock, which does no harm.
  constexpr std::size_t file_bytes = 40;
  const auto name = unix_address::abstract(
      "ringlet-bind-" + std::to_string(found->identity.device) + '-' +
      std::to_string(found->identity.inode) + '-' + path.substr(slash + 1, file_bytes));
  unique_fd made(socket_calls::open_socket(engine_, AF_UNIX, SOCK_DGRAM, 0));
  if (made && socket_calls::bind(socket_calls::socket_on{engine_, made.get()}, name) >= 0) {
    lock_ = std::move(made);
  }
}

// Whether something listens on the socket, or has bound it: -ECONNREFUSED if not. EAGAIN,
// EPROTOTYPE and success say that it is in use; EACCES says nothing.
//
// A killed program on io_uring holds its sockets a little longer: the kernel takes the ring down
// after the process has ended. So where the process that called listen(2) has ended, the answer may
// change soon. (It need not: another process may have the socket now.)
std::int32_t socket_binder::probe(const unix_address& where, int type) noexcept {
  constexpr int tries = 100;
  constexpr std::chrono::milliseconds pause(1);
  for (int i = 0;; ++i) {
    const unique_fd made(socket_calls::open_socket(engine_, AF_UNIX, type | SOCK_NONBLOCK, 0));
    if (!made) return made.get();
    const socket_calls::socket_on on{engine_, made.get()};
    const std::int32_t answer = socket_calls::connect_now(on, where);
    if (answer < 0 || i == tries) return answer;
    ucred owner{};
    const std::int32_t known =
        socket_calls::option(on, opcode::get_option, SOL_SOCKET, SO_PEERCRED, owner);
    const bool is_gone = known >= 0 && owner.pid > 0 && ::kill(owner.pid, 0) != 0 && errno == ESRCH;
    if (!is_gone) return answer;
    std::this_thread::sleep_for(pause);
  }
}

// Returns 0 if there is no file any more, or a negated errno.
std::int32_t socket_binder::remove_stale(const unix_address& where, int type) noexcept {
  const std::string path = text_of(where);
  const auto found = look_at(path.c_str());
  if (!found) return 0;
  if (!found->is_socket || !lock_) return -EADDRINUSE;
  if (probe(where, type) != -ECONNREFUSED) return -EADDRINUSE;
  const auto now = look_at(path.c_str());
  if (!now || now->identity != found->identity) return -EADDRINUSE;
  return ::unlink(path.c_str()) == 0 || errno == ENOENT ? 0 : -errno;
}

socket_file socket_binder::bind(int fd, const unix_address& where, const bind_request& how) {
  const socket_calls::socket_on made{engine_, fd};
  if (where.is_path()) lock(where);
  std::int32_t answer = socket_calls::bind(made, where);
  if (answer == -EADDRINUSE && where.is_path()) {
    answer = remove_stale(where, how.type);
    if (answer == 0) answer = socket_calls::bind(made, where);
  }
  if (answer >= 0 && where.is_path() && how.permissions >= 0) {
    socket_file bound(where);
    const auto mode = static_cast<mode_t>(how.permissions);
    if (::chmod(text_of(where).c_str(), mode) == 0) return bound;
    answer = -errno;
  }
  if (answer >= 0) return socket_file(where);
  detail::throw_error(system_error_code(answer),
                      "cannot bind a Unix socket to " + where.to_string(),
                      "the socket is bound already, or of another kind");
}

}  // namespace ringlet::detail
