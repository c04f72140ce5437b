// The library's own descriptors: closed by exec, and never one of the standard ones.
//
// Method: a child process without standard descriptors, which reads /proc/self/fd.
// SPDX-License-Identifier: MIT
#include <ringlet/tcp_listener.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>

#include "support/child.hpp"
#include "support/loopback.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::test;

namespace {

std::set<int> descriptors() {
  std::set<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    found.insert(std::stoi(entry.path().filename().string()));
  }
  std::erase_if(found, [](int fd) { return !is_open(fd); });  // used by the iteration
  return found;
}

// Descriptors that only a library would open.
bool is_of_a_library(int fd) {
  struct stat about {};
  if (::fstat(fd, &about) != 0) return false;
  if (S_ISSOCK(about.st_mode)) return true;
  const std::string link =
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)).string();
  return link.starts_with("anon_inode:");
}

}  // namespace

TEST_SUITE_BEGIN("own descriptors");

TEST_CASE("exec closes every descriptor of the library") {
  const std::set<int> before = descriptors();
  on_one_scheduler([&]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const auto pair = co_await connected_through(listener);
    std::size_t made = 0;
    for (const int fd : descriptors()) {
      if (before.contains(fd) || !is_of_a_library(fd)) continue;
      CAPTURE(fd);
      ++made;
      CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    }
    // A listener, two ends, an eventfd, and a poller or ring.
    CHECK(made >= 5);
  });
}

TEST_CASE("run() fills missing standard descriptors, so that no socket gets their numbers") {
  for (const unsigned missing : {1u, 2u, 4u, 7u}) {
    CAPTURE(missing);
    const child_end end = run_in_child([missing] {
      for (int fd = 0; fd <= 2; ++fd) {
        if (missing & (1u << fd)) ::close(fd);
      }
      on_one_scheduler([missing]() -> task<> {
        auto listener = tcp_listener::bind("127.0.0.1:0");
        const auto pair = co_await connected_through(listener);
        for (int fd = 0; fd <= 2; ++fd) {
          if (!is_open(fd) || is_of_a_library(fd)) ::_exit(10 + fd);
        }
        if (missing & 1u) {
          char byte = 0;
          if (::read(0, &byte, 1) != -1) ::_exit(20);
        }
        if ((missing & 2u) && ::write(1, "x", 1) != -1) ::_exit(21);
      });
    });
    CHECK(end.status == 0);
  }
}

TEST_SUITE_END();
