// unique_fd: one owner, one close.
//
// Method: the ends of a pipe, checked with fcntl(2). The test has one thread, so a closed number
// stays free.
// SPDX-License-Identifier: MIT
#include <ringlet/unique_fd.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <utility>

using namespace ringlet;

TEST_SUITE_BEGIN("unique_fd");

namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

int open_one() {
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  ::close(ends[1]);
  return ends[0];
}

}  // namespace

TEST_CASE("a unique_fd that owns nothing is false") {
  const unique_fd none;
  CHECK_FALSE(none);
  CHECK(none.get() == -1);
}

TEST_CASE("a unique_fd closes its descriptor when it is destroyed") {
  const int fd = open_one();
  {
    const unique_fd owner(fd);
    CHECK(owner);
    CHECK(owner.get() == fd);
    CHECK(is_open(fd));
  }
  CHECK_FALSE(is_open(fd));
}

TEST_CASE("a unique_fd may own descriptor 0") {
  unique_fd owner(0);
  CHECK(owner);
  CHECK(owner.release() == 0);
}

TEST_CASE("moving a unique_fd passes the descriptor on") {
  const int fd = open_one();
  unique_fd first(fd);
  {
    const unique_fd second(std::move(first));
    CHECK_FALSE(first);
    CHECK(second.get() == fd);
    CHECK(is_open(fd));
  }
  CHECK_FALSE(is_open(fd));
}

TEST_CASE("assigning to a unique_fd closes the descriptor that it held") {
  const int old_one = open_one(), new_one = open_one();
  unique_fd owner(old_one);
  owner = unique_fd(new_one);
  CHECK_FALSE(is_open(old_one));
  CHECK(is_open(new_one));
  CHECK(owner.get() == new_one);
}

TEST_CASE("assigning a unique_fd to itself changes nothing") {
  const int fd = open_one();
  unique_fd owner(fd);
  unique_fd& same = owner;
  owner = std::move(same);
  CHECK(owner.get() == fd);
  CHECK(is_open(fd));
}

TEST_CASE("a released descriptor is left for the caller to close") {
  const int fd = open_one();
  {
    unique_fd owner(fd);
    CHECK(owner.release() == fd);
    CHECK_FALSE(owner);
  }
  CHECK(is_open(fd));
  ::close(fd);
}

TEST_CASE("reset closes the held descriptor and takes the new one") {
  const int old_one = open_one(), new_one = open_one();
  unique_fd owner(old_one);
  owner.reset(new_one);
  CHECK_FALSE(is_open(old_one));
  CHECK(is_open(new_one));
  owner.reset();
  CHECK_FALSE(is_open(new_one));
  CHECK_FALSE(owner);
}

TEST_SUITE_END();
