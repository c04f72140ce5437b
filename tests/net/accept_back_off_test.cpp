// What a listener does when descriptors run out: it waits, tries again when ringlet has closed one
// or some time has passed, says so once, and loses no connection.
//
// Method: first on a scripted engine with virtual time; then on the real one in a child process
// with a low RLIMIT_NOFILE.
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

#include "support/child.hpp"
#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/stage.hpp"

using namespace ringlet;
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

// When the accepts were started that `error` answered, in milliseconds from the first one.
struct starts {
  explicit starts(scripted_engine& carrier) : engine(carrier) {}
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

// What the tests below do to a listener is said on standard error, once: not in their output.
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

TEST_CASE("with no descriptor left it is tried again after 10 ms, doubled each time up to 1 s") {
  for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
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
      RINGLET_ASSERT(!fiber.done(), "accept() told of the shortage");
      // A success starts all over.
      engine.on_start = {};
      co_await sleep(1s);
      engine.complete(engine.oldest(opcode::accept), fresh_fd(), {.more = true});
      const std::string words = co_await fiber.get();
      RINGLET_ASSERT(words.starts_with("fd "), "the accept did not go on");
      tried.times.clear();
      tried.fail_all();
      const steady_ns again = (engine.now() - scripted_engine::start_time) / millisecond;
      engine.complete(engine.oldest(opcode::accept), -EMFILE);
      co_await sleep(35ms);
      RINGLET_ASSERT((tried.times == std::vector<steady_ns>{again + 10, again + 30}),
                     "the back-off did not begin anew");
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

TEST_CASE("closing a stream lets the listener try again at once") {
  const child_end end = on_scripted_engine_in_child(&run_out_and_close);
  CHECK(end.status == 0);
  if (end.status != 0) MESSAGE(end.errors);
}

TEST_CASE("a listener that backs off can be closed, destroyed and left behind") {
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
      RINGLET_ASSERT(words == "closed on this side", "accept() was not told of the close");
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

// Clients are there before the limit is low; then each stream that is closed lets one more in.
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

TEST_CASE("a server that has run out of descriptors goes on with each one that it closes") {
  const child_end end = run_in_child([] {
    // UndefinedBehaviorSanitizer opens a pipe when it meets a class for the first time, which is
    // too late without descriptors: so everything happens once before.
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
