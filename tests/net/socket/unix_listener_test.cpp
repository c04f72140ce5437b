// Unix listeners: accepting, and the file of the socket, which is removed when it is stale or ours,
// and never otherwise.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/unix_datagram.hpp>
#include <ringlet/unix_listener.hpp>
#include <ringlet/unix_stream.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "support/child.hpp"
#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/scratch_folder.hpp"
#include "support/sockets.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("unix_listener");

namespace {

bool exists(const std::string& path) { return std::filesystem::exists(path); }

// Why bind() refuses, or "bound".
std::string refusal_of(const std::string& path) {
  try {
    const auto made = unix_listener::bind(path);
    return "bound";
  } catch (const std::system_error& error) {
    const std::string what = error.what();
    CHECK(what.find(path) != std::string::npos);
    return error.code().message();
  }
}

// A socket file as another program leaves it: bound, and perhaps listening.
unique_fd bind_raw(const std::string& path, int type = SOCK_STREAM) {
  unique_fd made(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  const auto where = unix_address::path(path);
  REQUIRE(::bind(made.get(), where.data(), where.size()) == 0);
  return made;
}

constexpr std::string_view in_use = "Address already in use";

}  // namespace

TEST_CASE("connections are accepted in the order of the fibers that wait") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    auto listener = unix_listener::bind(path);
    std::string order;
    const auto serve = [&](char name) -> task<> {
      unix_stream peer = co_await listener.accept();
      order += name;
    };
    const auto first = spawn(serve, 'a');
    const auto second = spawn(serve, 'b');
    co_await yield();
    unix_stream one = co_await unix_stream::connect(path);
    unix_stream two = co_await unix_stream::connect(path);
    co_await first.join();
    co_await second.join();
    CHECK(order == "ab");
  });
}

TEST_CASE("accept() runs out of time, can be a part of a select(), and ends when it is closed") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    auto listener = unix_listener::bind(path);
    const auto late = co_await as_result(listener.accept(1ms));
    CHECK(late.error() == errc::timed_out);
    const auto chosen = co_await select(listener.accept(), sleep(1ms));
    CHECK(chosen.index() == 1);
    const auto waiting = spawn([&]() -> task<> { co_await listener.accept(); });
    co_await yield();
    co_await listener.close();
    CHECK(listener.native_handle() == -1);
    const auto ended = co_await as_result(waiting.get());
    CHECK(ended.error() == errc::closed);
    const auto later = co_await as_result(listener.accept());
    CHECK(later.error() == errc::closed);
    const auto& closed = listener;
    CHECK_THROWS_AS(closed.local_address(), std::system_error);
  });
}

TEST_CASE("closing and destroying a listener remove its file") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    auto listener = unix_listener::bind(path);
    CHECK(exists(path));
    co_await listener.close();
    CHECK_FALSE(exists(path));
    {
      const auto again = unix_listener::bind(path);
      CHECK(exists(path));
    }
    CHECK_FALSE(exists(path));
  });
}

TEST_CASE("closing leaves a file that has taken the place of the listener's") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    auto listener = unix_listener::bind(path);
    std::filesystem::remove(path);
    const unique_fd other = bind_raw(path);
    co_await listener.close();
    CHECK(exists(path));
    auto replaced = unix_listener::bind(folder / "second");
    std::filesystem::remove(folder / "second");
    std::ofstream(folder / "second") << "a file";
    co_await replaced.close();
    CHECK(exists(folder / "second"));
  });
}

TEST_CASE("bind() removes the file of a socket on which nothing listens any more") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      bind_raw(path, type).reset();
      REQUIRE(exists(path));
      auto listener = unix_listener::bind(path);
      unix_stream client = co_await unix_stream::connect(path);
    }
  });
}

TEST_CASE("bind() leaves a socket that is in use, and reports it") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    auto listener = unix_listener::bind(path);
    CHECK(refusal_of(path) == in_use);
    unix_stream client = co_await unix_stream::connect(path);
    co_await listener.close();
    const unique_fd datagrams = bind_raw(path, SOCK_DGRAM);
    CHECK(refusal_of(path) == in_use);
    CHECK(exists(path));
  });
}

TEST_CASE("bind() leaves a socket whose queue is full") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    const unique_fd raw = bind_raw(path);
    REQUIRE(::listen(raw.get(), 0) == 0);
    unix_stream client = co_await unix_stream::connect(path);
    CHECK(refusal_of(path) == in_use);
  });
}

TEST_CASE("bind() leaves a socket whose maker has ended, and that another process has now") {
  const scratch_folder folder;
  const std::string path = folder / "socket";
  fd_pair pair = socket_pair();
  const child_end end = run_in_child([&] {
    run([](std::string where, unique_fd to) -> task<> {
      const unique_fd made = bind_raw(where);
      ::listen(made.get(), 16);
      unix_stream parent(std::move(to));
      const std::array sent{made.get()};
      co_await parent.send_descriptors(sent, "x");
    }(path, std::move(pair.far)));
  });
  REQUIRE(end.status == 0);
  on_one_scheduler([&]() -> task<> {
    unix_stream child(std::move(pair.near));
    std::array<std::byte, 1> memory;
    std::array<unique_fd, 1> received;
    const received_descriptors got = co_await child.receive_descriptors(memory, received);
    REQUIRE(got.descriptors == 1);
    CHECK(refusal_of(path) == in_use);
    received[0].reset();
    CHECK(refusal_of(path) == "bound");
  });
}

TEST_CASE("bind() leaves a file that is no socket, a folder, and what a link leads to") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    std::ofstream(folder / "file") << "precious";
    CHECK(refusal_of(folder / "file") == in_use);
    CHECK(std::filesystem::file_size(folder / "file") == 8);
    std::filesystem::create_directory(folder / "folder");
    CHECK(refusal_of(folder / "folder") == in_use);
    bind_raw(folder / "stale").reset();
    std::filesystem::create_symlink(folder / "stale", folder / "link");
    CHECK(refusal_of(folder / "link") == in_use);
    CHECK(std::filesystem::is_symlink(folder / "link"));
    CHECK(exists(folder / "stale"));
    co_return;
  });
}

TEST_CASE("bind() removes no stale file while another program binds the same path") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    bind_raw(path).reset();
    // The lock of that program: see socket_file.hpp.
    struct stat found {};
    REQUIRE(::stat((folder / ".").c_str(), &found) == 0);
    const auto device = (std::uint64_t{major(found.st_dev)} << 32) | minor(found.st_dev);
    auto lock = std::optional(
        unix_datagram::bind(unix_address::abstract("ringlet-bind-" + std::to_string(device) + '-' +
                                                   std::to_string(found.st_ino) + "-socket")));
    CHECK(refusal_of(path) == in_use);
    CHECK(exists(path));
    lock.reset();
    CHECK(refusal_of(path) == "bound");
    co_return;
  });
}

TEST_CASE("the file gets the permissions that were asked for") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    const auto listener = unix_listener::bind(path, {.permissions = 0600});
    struct stat found {};
    REQUIRE(::stat(path.c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0600);
    co_return;
  });
}

TEST_CASE("bind() reports a folder that does not exist, and leaves no descriptor open") {
  on_one_scheduler([]() -> task<> {
    const std::size_t before = open_descriptors();
    CHECK(refusal_of("/nowhere/at/all") == "No such file or directory");
    CHECK(open_descriptors() == before);
    co_return;
  });
}

TEST_CASE("the child of a fork leaves the file") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    auto listener = std::optional(unix_listener::bind(path));
    const child_end end = run_in_child([&] { listener.reset(); });
    CHECK(end.status == 0);
    CHECK(exists(path));
    unix_stream client = co_await unix_stream::connect(path);
  });
}

TEST_CASE("a listener that was taken over accepts, and its file stays") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    unique_fd raw = bind_raw(path);
    REQUIRE(::listen(raw.get(), 16) == 0);
    unix_listener listener(std::move(raw));
    unix_stream client = co_await unix_stream::connect(path);
    unix_stream server = co_await listener.accept();
    co_await client.write_all("x");
    const buffer got = co_await server.receive();
    CHECK(got.text() == "x");
    co_await listener.close();
    CHECK(exists(path));
  });
}

TEST_SUITE_END();
