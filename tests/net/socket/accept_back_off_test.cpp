// A listener without descriptors: it waits, tries again when ringlet has closed one or some time
// has passed, reports the shortage once, and loses no connection.
//
// Method: first on a scripted engine with virtual time; then on the real one in a child process
// with a low RLIMIT_NOFILE.
// SPDX-License-Identifier: MIT
#include <ringlet/joinall.hpp>
#include <ringlet/tcp_listener.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "support/allocations.hpp"
#include "support/child.hpp"
#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr steady_ns millisecond = 1'000'000;

int fresh_fd() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

std::size_t occurrences(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// When the accepts that `error` answered were started, in milliseconds from the first one.
struct starts {
  explicit starts(scripted_engine& used) : engine(used) {}
  scripted_engine& engine;
  std::vector<steady_ns> times;
  int error = EMFILE;

  void fail_all() {
    engine.on_start = [this](operation& op) {
      if (op.code != opcode::accept) return;
      times.push_back((engine.now() - scripted_engine::start_time) / millisecond);
      if (times.size() < 1000) engine.complete(op, -error);
    };
  }
};

task<std::string> outcome_of_accept(tcp_listener& listener) {
  return outcome_of([&listener] { return listener.accept(); });
}

// A child process, because the listener reports the shortage on standard error.
template <class F>
child_end on_scripted_engine_in_child(F body) {
  return run_in_child([&] {
    scripted_engine engine;
    detail::run_on(engine, body(engine), {}, std::source_location::current());
  });
}

task<> run_out_and_close(scripted_engine& engine) {
  starts tried(engine);
  tried.fail_all();
  tcp_stream stream{unique_fd(stream_fd)};
  const address same = stream.peer_address();
  RINGLET_ASSERT(same == stream.peer_address(), "an address changed");
  tcp_listener listener = listener_on(engine, fresh_fd());
  const auto fiber = spawn(outcome_of_accept(listener));
  co_await sleep(2s);
  const std::size_t before = tried.times.size();
  co_await sleep(1ms);
  co_await stream.close();
  co_await settle();
  RINGLET_ASSERT(tried.times.size() == before + 1, "the close was not noticed");
  RINGLET_ASSERT(tried.times.back() == 2001, "the close was not noticed at once");
}

}  // namespace

TEST_SUITE_BEGIN("accept back-off");

// rows: W30 SV-03
TEST_CASE(
    "an accept without a descriptor is tried again after 10 ms, doubled each time up to 1 s") {
  for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC}) {
    CAPTURE(error);
    const auto body = [error](scripted_engine& engine) -> task<> {
      starts tried(engine);
      tried.error = error;
      tried.fail_all();
      tcp_listener listener = listener_on(engine, fresh_fd());
      const auto fiber = spawn(outcome_of_accept(listener));
      co_await sleep(3270ms);
      RINGLET_ASSERT(
          (tried.times == std::vector<steady_ns>{0, 10, 30, 70, 150, 310, 630, 1270, 2270, 3270}),
          "the accepts were not started when they should have been");
      RINGLET_ASSERT(!fiber.done(), "accept() reported the shortage");
      // A success resets the delay.
      engine.on_start = {};
      co_await sleep(1s);
      engine.complete(engine.oldest(opcode::accept), fresh_fd(), {.more = true});
      const std::string words = co_await fiber.get();
      RINGLET_ASSERT(words.starts_with("fd "), "the accept did not continue");
      tried.times.clear();
      tried.fail_all();
      const steady_ns again = (engine.now() - scripted_engine::start_time) / millisecond;
      engine.complete(engine.oldest(opcode::accept), -EMFILE);
      co_await sleep(35ms);
      RINGLET_ASSERT((tried.times == std::vector<steady_ns>{again + 10, again + 30}),
                     "the back-off did not restart");
    };
    const child_end end = on_scripted_engine_in_child(body);
    CHECK(end.status == 0);
    CHECK(occurrences(end.errors, "ringlet: accept: " + std::system_category().message(error)) ==
          1);
    CHECK(occurrences(end.errors, "\n") == 1);
    CHECK(occurrences(end.errors, "ulimit -n") == (error == EMFILE ? 1 : 0));
    CHECK(occurrences(end.errors, "fs.file-max") == (error == ENFILE ? 1 : 0));
    if (end.status != 0) MESSAGE(end.errors);
  }
}

TEST_CASE("closing a stream makes the listener try again at once") {
  const child_end end = on_scripted_engine_in_child(&run_out_and_close);
  CHECK(end.status == 0);
  if (end.status != 0) MESSAGE(end.errors);
}

namespace {

// A listener without a descriptor, and a fiber that accepts from it.
struct starved_listener {
  tcp_listener listener{unique_fd(fresh_fd())};
  fiber<std::string> accepting = spawn(outcome_of_accept(listener));
};

// Creates `count` listeners whose accepts fail with EMFILE, so that they back off.
task<> starve(scripted_engine& engine, std::size_t count, std::vector<starved_listener>& all) {
  engine.on_start = [&engine](operation& op) {
    if (op.code == opcode::accept) engine.complete(op, -EMFILE);
  };
  all.reserve(count);
  for (std::size_t i = 0; i < count; ++i) all.emplace_back();
  co_await settle();
  engine.on_start = {};
  RINGLET_ASSERT(!engine.is_waiting(opcode::accept), "an accept did not back off");
}

std::size_t tries(const scripted_engine& engine, std::size_t before) {
  return engine.started(opcode::accept) - before;
}

task<> close_in_every_way(scripted_engine& engine) {
  constexpr std::size_t staged = 64;
  std::vector<starved_listener> all;
  tcp_listener crowded = listener_on(engine, fresh_fd());
  const auto first = spawn(outcome_of_accept(crowded));
  co_await settle();
  for (std::size_t i = 0; i <= staged; ++i) {
    engine.complete(engine.oldest(opcode::accept), fresh_fd(), {.more = true});
  }
  co_await first.join();
  co_await settle();
  co_await starve(engine, staged + 20, all);

  std::size_t before = engine.started(opcode::accept);
  { const unique_fd gone(fresh_fd()); }
  RINGLET_ASSERT(tries(engine, before) == 1, "a unique_fd closed, and no listener was notified");

  before = engine.started(opcode::accept);
  engine.answer(opcode::open_socket, [](operation&) { return fresh_fd(); });
  const auto refused =
      spawn(outcome_of([] { return tcp_stream::connect(address::loopback(4242)); }));
  co_await settle();
  engine.complete(engine.oldest(opcode::connect), -ECONNREFUSED);
  co_await refused.join();
  RINGLET_ASSERT(tries(engine, before) == 1, "a connect failed, and no listener was notified");

  before = engine.started(opcode::accept);
  const auto killed =
      spawn(outcome_of([] { return tcp_stream::connect(address::loopback(4242)); }));
  co_await settle();
  killed.request_kill();
  co_await killed.join();
  RINGLET_ASSERT(tries(engine, before) == 1,
                 "a connect was given up, and no listener was notified");

  before = engine.started(opcode::accept);
  { const tcp_stream gone{unique_fd(fresh_fd())}; }
  RINGLET_ASSERT(tries(engine, before) == 1, "a stream closed, and no listener was notified");

  before = engine.started(opcode::accept);
  co_await crowded.close();
  RINGLET_ASSERT(tries(engine, before) == staged + 1,
                 "a listener closed 65 descriptors, and did not notify as many listeners");
  for (auto& one : all) one.accepting.request_kill();
}

}  // namespace

TEST_CASE("each close of a descriptor makes one waiting listener try again") {
  const child_end end = on_scripted_engine_in_child(&close_in_every_way);
  CHECK(end.status == 0);
  if (end.status != 0) MESSAGE(end.errors);
}

TEST_CASE("each shortage is reported together with what ends it") {
  for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC}) {
    CAPTURE(error);
    const auto body = [error](scripted_engine& engine) -> task<> {
      starts tried(engine);
      tried.error = error;
      tried.fail_all();
      tcp_listener listener{unique_fd(fresh_fd())};
      const auto fiber = spawn(outcome_of_accept(listener));
      co_await sleep(1ms);
    };
    const child_end end = on_scripted_engine_in_child(body);
    CHECK(end.status == 0);
    CHECK(occurrences(end.errors, "ulimit -n") == (error == EMFILE ? 1 : 0));
    CHECK(occurrences(end.errors, "fs.file-max") == (error == ENFILE ? 1 : 0));
    CHECK(occurrences(end.errors, "until memory is free") ==
          (error == ENOBUFS || error == ENOMEM ? 1 : 0));
  }
}

namespace {

// During its lifetime there is no memory for a stream.
struct no_memory {
  empty_frame_pool no_blocks{sizeof(descriptor)};
  out_of_memory shortage;
};

// Its completion makes allocations fail, or succeed again, between the completions of other
// operations.
struct memory_switch : operation {
  explicit memory_switch(std::optional<no_memory>& switched)
      : operation(opcode::nop,
                  [](operation& op, const completion&) noexcept {
                    auto& taken = static_cast<memory_switch&>(op).taken_away;
                    if (taken) {
                      taken.reset();
                    } else {
                      taken.emplace();
                    }
                  }),
        taken_away(switched) {}
  std::optional<no_memory>& taken_away;
};

task<> accept_without_memory(scripted_engine& engine, bool staged) {
  tcp_listener listener = listener_on(engine, fresh_fd());
  auto accepting = spawn(outcome_of_accept(listener));
  co_await settle();
  operation& accept = engine.oldest(opcode::accept);
  const int made = fresh_fd();
  std::optional<no_memory> memory;
  if (staged) {
    engine.complete(accept, fresh_fd(), {.more = true});
    co_await accepting.join();
    engine.complete(accept, made, {.more = true});
    co_await settle();
    accepting = spawn([&]() -> task<std::string> {
      auto next = listener.accept(1h);
      memory.emplace();
      tcp_stream stream = co_await std::move(next);
      co_return "fd " + std::to_string(stream.native_handle());
    });
    co_await yield();
    memory.reset();
  } else {
    memory_switch off(memory), on(memory);
    engine.start(off);
    engine.start(on);
    engine.complete(off, 0);
    engine.complete(accept, made, {.more = true});
    engine.complete(on, 0);
    co_await settle();
  }
  RINGLET_ASSERT(!accepting.done(), "accept() reported the shortage, or there was none");
  co_await settle();
  RINGLET_ASSERT(!engine.is_waiting(opcode::accept), "connections are still accepted");
  co_await sleep(11ms);
  const std::string words = co_await accepting.get();
  RINGLET_ASSERT(words == "fd " + std::to_string(made), "the connection was lost");
  RINGLET_ASSERT(engine.is_waiting(opcode::accept), "the listener did not recover");
}

}  // namespace

// Sanitizers use their own operator new, which cannot be made to fail.
TEST_CASE("a connection without memory for its stream waits, and is returned next" *
          doctest::skip(!allocations_are_counted())) {
  for (const bool staged : {false, true}) {
    CAPTURE(staged);
    const child_end end = on_scripted_engine_in_child(
        [staged](scripted_engine& engine) { return accept_without_memory(engine, staged); });
    CHECK(end.status == 0);
    CHECK(occurrences(end.errors, "ringlet: accept: Cannot allocate memory") == 1);
    if (end.status != 0) MESSAGE(end.errors);
  }
}

TEST_CASE("a listener that backs off can be closed, destroyed, or outlive its run") {
  for (const int way : {0, 1, 2}) {
    CAPTURE(way);
    const auto body = [way](scripted_engine& engine) -> task<> {
      starts tried(engine);
      tried.fail_all();
      std::optional<tcp_listener> listener(listener_on(engine, fresh_fd()));
      const auto fiber = spawn(outcome_of_accept(*listener));
      co_await sleep(15ms);
      if (way == 0) co_await listener->close();
      if (way == 1) listener.reset();
      if (way == 2) co_return;
      const std::string words = co_await fiber.get();
      RINGLET_ASSERT(words == "closed by this program", "accept() did not report the close");
      const std::size_t tries = tried.times.size();
      co_await sleep(5s);
      RINGLET_ASSERT(tried.times.size() == tries, "a closed listener was tried again");
    };
    const child_end end = on_scripted_engine_in_child(body);
    CHECK(end.status == 0);
    if (end.status != 0) MESSAGE(end.errors);
  }
}

namespace {

constexpr std::size_t clients_count = 40;
constexpr int descriptors_left = 5;

// Clients connect before the limit is lowered; then each stream that is closed lets one more in.
task<> accept_with_few_descriptors() {
  auto listener = tcp_listener::bind("127.0.0.1:0");
  std::vector<unique_fd> clients;
  for (std::size_t i = 0; i < clients_count; ++i) {
    clients.push_back(raw_connect(listener.local_address()));
  }
  const unique_fd next_free(fresh_fd());
  const rlimit low{static_cast<rlim_t>(next_free.get() + 1 + descriptors_left),
                   static_cast<rlim_t>(next_free.get() + 1 + descriptors_left)};
  RINGLET_ASSERT(::setrlimit(RLIMIT_NOFILE, &low) == 0, "the limit cannot be lowered");

  std::vector<tcp_stream> accepted;
  const auto serve = [&]() -> task<> {
    while (accepted.size() < clients_count) accepted.push_back(co_await listener.accept());
  };
  const auto server = spawn(serve);
  while (accepted.size() < descriptors_left) co_await sleep(0s);
  for (int turn = 0; turn < 10; ++turn) co_await sleep(0s);
  RINGLET_ASSERT(accepted.size() == descriptors_left, "more was accepted than there are numbers");

  for (std::size_t i = 0; i < clients_count; ++i) {
    while (accepted.size() == i) co_await sleep(0s);
    address client;
    socklen_t size = address::capacity;
    ::getsockname(clients[i].get(), client.data(), &size);
    RINGLET_ASSERT(accepted[i].peer_address() == client, "a connection was lost or out of order");
    co_await accepted[i].close();
  }
  co_await server.join();
  RINGLET_ASSERT(server.result() == outcome::value, "the server failed");
}

}  // namespace

TEST_CASE("a server without descriptors continues with each one that it closes") {
  const child_end end = run_in_child([] {
    // UndefinedBehaviorSanitizer opens a pipe when it first checks a class, which fails without
    // descriptors: so the whole sequence runs once beforehand.
    scripted_engine engine;
    detail::run_on(engine, run_out_and_close(engine), {}, std::source_location::current());
    on_one_scheduler(&accept_with_few_descriptors);
  });
  CHECK(end.status == 0);
  if (end.status != 0) MESSAGE(end.errors);
  CHECK(occurrences(end.errors, "ringlet: accept: Too many open files") == 2);
  CHECK(occurrences(end.errors, "ulimit -n") == 2);
}

TEST_SUITE_END();
