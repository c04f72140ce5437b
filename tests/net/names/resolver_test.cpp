// The resolvers that use threads: equal lookups share a call, limits and kills end the wait at
// once, and late answers are dropped.
//
// Method: a function that blocks until the test opens a gate, on real threads.
// SPDX-License-Identifier: MIT
#include <ringlet/blocking.hpp>
#include <ringlet/extend/threaded_resolver.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/resolve.hpp>
#include <ringlet/resolver.hpp>
#include <ringlet/run.hpp>

#include <doctest/doctest.h>

#include <netdb.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <ostream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "support/child.hpp"
#include "support/loopback.hpp"
#include "support/sanitized.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// What the test and the blocking function share; the function may outlive the test.
struct gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool is_open = false;
  int calls = 0;
  int returned = 0;

  result<std::vector<address>> pass(const name_query& asked) {
    std::unique_lock lock(mutex);
    ++calls;
    changed.notify_all();
    changed.wait(lock, [this] { return is_open; });
    ++returned;
    changed.notify_all();
    if (asked.host == "missing") return make_error_code(resolve_errc::host_not_found);
    return std::vector<address>(1, address::loopback(1));
  }
  void open() {
    const std::lock_guard lock(mutex);
    is_open = true;
    changed.notify_all();
  }
  int calls_made() {
    const std::lock_guard lock(mutex);
    return calls;
  }
  // Blocks this thread: the callers are not needed for it.
  void wait_for_calls(int count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return calls >= count; });
  }
  void wait_for_returns(int count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return returned >= count; });
  }
};

struct gated {
  std::shared_ptr<gate> at = std::make_shared<gate>();
  threaded_resolver names{[at = this->at](const name_query& asked) { return at->pass(asked); }};
  ~gated() { at->open(); }
};

task<std::string> found(resolver& names, std::string host, std::string service = "80",
                        time_limit timeout = forever) {
  resolve_options how;
  how.with = &names;
  std::string words;
  try {
    const auto all = co_await resolve(std::move(host), std::move(service), how, timeout);
    for (const address& one : all) words += (words.empty() ? "" : " ") + one.to_string();
  } catch (const std::system_error& error) {
    words = error.what();
  }
  co_return words;
}

}  // namespace

TEST_SUITE_BEGIN("resolver");

// row: DN-02
TEST_CASE("many fibers that ask for the same name cause one lookup, also for different ports") {
  on_one_scheduler([]() -> task<> {
    gated g;
    std::vector<fiber<std::string>> asking;
    for (int i = 0; i < 1000; ++i) {
      asking.push_back(spawn(found(g.names, "host", std::to_string(i + 1))));
    }
    co_await yield();
    g.at->wait_for_calls(1);
    asking[0].request_kill();
    asking[999].request_kill();
    co_await joinall(asking[0], asking[999]);
    g.at->open();
    for (std::size_t i = 1; i < 999; ++i) {
      const std::string words = co_await asking[i].get();
      CHECK(words == "127.0.0.1:" + std::to_string(i + 1));
    }
    CHECK(g.at->calls_made() == 1);
  });
}

// row: DN-02
TEST_CASE("lookups return at their limit when all threads are stuck, and others run") {
  on_one_scheduler([]() -> task<> {
    gated g;
    std::vector<fiber<std::string>> asking;
    for (int i = 0; i < 100; ++i) {
      asking.push_back(spawn(found(g.names, "host" + std::to_string(i), "80", 50ms)));
    }
    co_await yield();
    g.at->wait_for_calls(16);
    const auto answer = [] { return 7; };
    const int other = co_await blocking(answer);
    CHECK(other == 7);
    for (std::size_t i = 0; i < asking.size(); ++i) {
      const std::string words = co_await asking[i].get();
      CHECK(words == "cannot resolve \"host" + std::to_string(i) + "\": timed out");
    }
    CHECK(g.at->calls_made() == 16);  // what no thread had begun is not begun later
    g.at->open();
    g.at->wait_for_returns(16);
    CHECK(g.at->calls_made() == 16);
  });
}

TEST_CASE("a late answer is dropped after the resolver and the scheduler have ended") {
  auto at = std::make_shared<gate>();
  on_one_scheduler([&]() -> task<> {
    threaded_resolver names([at](const name_query& asked) { return at->pass(asked); });
    const auto asking = spawn(found(names, "host"));
    co_await yield();
    at->wait_for_calls(1);
    asking.request_kill();
    co_await asking.join();
    CHECK(asking.result() == outcome::cancelled);
  });
  at->open();
  at->wait_for_returns(1);
}

TEST_CASE("schedulers share a lookup") {
  gated g;
  std::atomic<int> ready = 0;
  on_two_schedulers([&]() -> task<> {
    const auto asking = spawn(found(g.names, "host"));
    co_await yield();
    g.at->wait_for_calls(1);
    if (++ready == 2) g.at->open();
    const std::string words = co_await asking.get();
    CHECK(words == "127.0.0.1:80");
  });
  CHECK(g.at->calls_made() == 1);
}

TEST_CASE("an error is thrown to all who asked, with the name of the host") {
  on_one_scheduler([]() -> task<> {
    gated g;
    const auto first = spawn(found(g.names, "missing"));
    const auto second = spawn(found(g.names, "missing"));
    co_await yield();
    g.at->open();
    for (const auto& one : {first, second}) {
      const std::string words = co_await one.get();
      CHECK(words == "cannot resolve \"missing\": the host does not exist");
    }
  });
}

TEST_CASE("what the function throws is thrown: system errors as their code, others as they are") {
  on_one_scheduler([]() -> task<> {
    threaded_resolver failing([](const name_query& asked) -> result<std::vector<address>> {
      if (asked.host == "code") throw std::system_error(EMFILE, std::system_category());
      throw std::runtime_error("a bug");
    });
    const std::string code = co_await found(failing, "code");
    CHECK(code == "cannot resolve \"code\": Too many open files");
    // The exception is not read: libstdc++ counts its references, the last of which may be the
    // other thread's, where ThreadSanitizer does not see it.
    bool is_as_thrown = false;
    try {
      co_await found(failing, "other");
    } catch (const std::runtime_error&) {
      is_as_thrown = true;
    }
    CHECK(is_as_thrown);
  });
}

// row: DN-01
TEST_CASE("the system's resolver knows localhost, and services by name") {
  on_schedulers([]() -> task<> {
    resolve_options how;
    how.family = address_family::ipv4;
    if (has_localhost()) {
      const auto here = co_await resolve("localhost", "80", how, 60s);
      CHECK(here.front() == address::loopback(80));
    }
    if (::getservbyname("http", "tcp") != nullptr) {
      const auto numeric = co_await resolve("127.0.0.1", "http", 60s);
      CHECK(numeric.front() == address::loopback(80));
      const auto ipv6 = co_await resolve("::1", "http", 60s);  // also where only IPv4 is in use
      CHECK(ipv6.front() == address::parse("[::1]:80"));
    }
    const std::string words = co_await found(system_resolver(), "127.0.0.1", "no-such-service");
    CHECK(words == "cannot resolve \"127.0.0.1\": TCP has no service of this name");
  });
}

task<> give_up_a_stuck_lookup() {
  const auto never_open = std::make_shared<gate>();
  threaded_resolver names([at = never_open](const name_query& asked) { return at->pass(asked); });
  const auto asking = spawn(found(names, "host"));
  co_await yield();
  never_open->wait_for_calls(1);
}

// ThreadSanitizer cannot start threads in the child.
TEST_CASE("a program ends although a lookup is stuck" * doctest::skip(sanitized)) {
  const child_end end = run_in_child([] {
    run(give_up_a_stuck_lookup());
    std::exit(4);
  });
  CHECK(end.status == 4);
  CHECK(end.errors == "");
}

task<> resolve_in_child() {
  threaded_resolver names([](const name_query&) -> result<std::vector<address>> {
    return std::vector<address>(1, address::loopback(1));
  });
  const std::string words = co_await found(names, "host");
  if (words != "127.0.0.1:80") std::abort();
}

// See above.
TEST_CASE("a child of fork() looks names up with threads of its own" * doctest::skip(sanitized)) {
  gated g;
  on_one_scheduler([&]() -> task<> {
    const auto asking = spawn(found(g.names, "host"));
    co_await yield();
    g.at->wait_for_calls(1);
    asking.request_kill();
    co_await asking.join();
  });
  const child_end end = run_in_child([] { run(resolve_in_child()); });
  CHECK(end.status == 0);
  CHECK(end.errors == "");
}

TEST_SUITE_END();
