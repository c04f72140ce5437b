// Pipes: what they do beyond byte_stream_test.cpp, which runs on them too.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/pipe.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/resource.h>

#include <csignal>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include "support/aborts.hpp"
#include "support/child.hpp"
#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/sockets.hpp"
#include "support/transports.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("pipe");

TEST_CASE("the ends of a pipe are closed on exec, blocking, and closed with their objects") {
  on_one_scheduler([]() -> task<> {
    const std::size_t before = open_descriptors();
    {
      const auto ends = make_pipe();
      CHECK(open_descriptors() == before + 2);
      for (const int fd : {ends.in.native_handle(), ends.out.native_handle()}) {
        CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
      }
    }
    CHECK(open_descriptors() == before);
    co_return;
  });
}

TEST_CASE("the bytes of a pipe are counted, and it ends when its writer is shut down") {
  on_one_scheduler([]() -> task<> {
    auto [in, out] = make_pipe();
    co_await out.write_all("abc");
    CHECK(out.bytes_written() == 3);
    out.shutdown_write();
    CHECK(out.native_handle() == -1);
    const buffer got = co_await in.receive();
    CHECK(got.text() == "abc");
    CHECK(in.bytes_read() == 3);
    const buffer end = co_await in.receive();
    CHECK(end.empty());
  });
}

TEST_CASE("make_pipe() without free descriptors is an error") {
  on_one_scheduler([]() -> task<> {
    rlimit usual{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &usual) == 0);
    rlimit none = usual;
    none.rlim_cur = 0;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    std::error_code code;
    try {
      make_pipe();
    } catch (const std::system_error& error) {
      code = error.code();
    }
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &usual) == 0);
    CHECK(code == std::errc::too_many_files_open);
    co_return;
  });
}

TEST_CASE("a descriptor that cannot be read is an error that says so") {
  on_one_scheduler([]() -> task<> {
    fd_pair raw = pipe_pair();
    pipe_reader wrong(std::move(raw.far));
    const auto got = co_await as_result(wrong.receive());
    CHECK(got.error() == std::errc::bad_file_descriptor);
  });
}

TEST_CASE("writing to a pipe without a reader raises SIGPIPE") {
  const child_end end = run_in_child([] {
    on_one_scheduler([]() -> task<> {
      auto [in, out] = make_pipe();
      co_await in.close();
      co_await out.write_all("x");
    });
  });
  CHECK(end.signal == SIGPIPE);
}

TEST_CASE("an end that was moved from aborts when it is used") {
  CHECK(aborts_with("the end of a pipe that was moved from was used", [] {
    on_one_scheduler([]() -> task<> {
      auto [in, out] = make_pipe();
      const pipe_reader taken = std::move(in);
      co_await in.receive();
    });
  }));
}

TEST_SUITE_END();
