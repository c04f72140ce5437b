// listening_descriptors: what a service manager passes, and what is not for this process.
//
// Method: children, which change their environment and their descriptors from number 3 on.
// SPDX-License-Identifier: MIT
#include <ringlet/listening_descriptors.hpp>
#include <ringlet/run.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/sockets.hpp"

using namespace ringlet;
using namespace ringlet::test;

namespace {

void require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

void set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }

void set_count(const std::string& count) {
  set("LISTEN_PID", std::to_string(::getpid()));
  set("LISTEN_FDS", count);
}

void require_no_variables() {
  for (const char* name : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}) {
    require(std::getenv(name) == nullptr, name);
  }
}

std::string refusal() {
  try {
    listening_descriptors();
  } catch (const std::invalid_argument& refused) {
    return refused.what();
  }
  return {};
}

// In a child: the descriptors 3 and 4 are listeners.
void open_two() {
  const loopback_listener first;
  const loopback_listener second;
  const int safe[] = {::fcntl(first.fd.get(), F_DUPFD, 100),
                      ::fcntl(second.fd.get(), F_DUPFD, 100)};
  require(::dup2(safe[0], 3) == 3 && ::dup2(safe[1], 4) == 4, "dup2");
}

bool passes(const std::function<void()>& action) {
  const child_end end = run_in_child(action);
  if (end.status != 0) describe_unexpected(end, "");
  return end.status == 0;
}

task<> answer_one(std::vector<listening_descriptor> given) {
  tcp_listener listener(std::move(given.at(0).fd));
  tcp_stream client = co_await tcp_stream::connect(listener.local_address());
  tcp_stream peer = co_await listener.accept();
  co_await peer.write_all("x");
  const buffer data = co_await client.receive();
  require(data.text() == "x", "the answer");
}

}  // namespace

TEST_SUITE_BEGIN("listening_descriptors");

TEST_CASE("the descriptors come in order, with their names, closed on exec, and serve") {
  CHECK(passes([] {
    open_two();
    set_count("2");
    set("LISTEN_FDNAMES", "web:admin");
    auto all = listening_descriptors();
    require(all.size() == 2, "two");
    require(all[0].name == "web" && all[1].name == "admin", "their names");
    require(all[0].fd.get() == 3 && all[1].fd.get() == 4, "their numbers");
    for (const auto& one : all) {
      require((::fcntl(one.fd.get(), F_GETFD) & FD_CLOEXEC) != 0, "closed on exec");
    }
    require_no_variables();
    require(listening_descriptors().empty(), "a second call finds none");
    run(answer_one(std::move(all)));
  }));
}

TEST_CASE("names that are missing or empty are unknown") {
  CHECK(passes([] {
    open_two();
    set_count("2");
    auto all = listening_descriptors();
    require(all[0].name == "unknown" && all[1].name == "unknown", "no names");
    for (auto& one : all) static_cast<void>(one.fd.release());
    set_count("2");
    set("LISTEN_FDNAMES", ":");
    all = listening_descriptors();
    require(all[0].name == "unknown" && all[1].name == "unknown", "empty names");
  }));
}

TEST_CASE("without variables, or with those of another process, there are none") {
  CHECK(passes([] {
    require(listening_descriptors().empty(), "no variables");
    set("LISTEN_PID", std::to_string(::getppid()));
    set("LISTEN_FDS", "2");
    require(listening_descriptors().empty(), "those of the parent");
    require_no_variables();
    set_count("0");
    require(listening_descriptors().empty(), "none passed");
  }));
}

TEST_CASE("variables that the protocol does not allow are refused, and removed") {
  CHECK(passes([] {
    for (const char* count : {"", "two", "-1", "2x", "99999999"}) {
      set_count(count);
      require(refusal() == "LISTEN_FDS is \"" + std::string(count) +
                               "\": a decimal number from 0 to 1048576",
              count);
      require_no_variables();
    }
    set_count("1");
    set("LISTEN_PID", "me");
    require(refusal().starts_with("LISTEN_PID is \"me\""), "LISTEN_PID");
    require_no_variables();
  }));
}

TEST_CASE("a descriptor that is not open is an error") {
  CHECK(passes([] {
    open_two();
    ::close(4);
    set_count("2");
    try {
      listening_descriptors();
      require(false, "no error");
    } catch (const std::system_error& error) {
      require(error.code() == std::errc::bad_file_descriptor, "its code");
      require(std::string(error.what()).find("descriptor 4") != std::string::npos, "its number");
    }
    require_no_variables();
  }));
}

TEST_SUITE_END();
