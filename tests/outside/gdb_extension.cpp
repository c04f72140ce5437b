// The program that gdb_extension.py looks at: two schedulers on two threads, with a fiber in every
// state. It prints "ready" when all of them are in it, and then stays so until it is killed.
// SPDX-License-Identifier: MIT
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <thread>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

std::atomic<bool> is_blocked = false;

task<> innermost() { co_await sleep(1h); }
task<int> middle(int) {
  co_await innermost();
  co_return 1;
}
task<> outermost() { co_await middle(2); }

task<> join_it(fiber<> joined) { co_await joined.join(); }

task<> accept_one(tcp_listener& listener) { co_await listener.accept(); }

task<> receive_one(address server) {
  auto peer = co_await tcp_stream::connect(server);
  co_await peer.receive();
}

task<> never_begins() { co_return; }

// Blocks its thread instead of waiting.
task<> block() {
  co_await yield();
  spawn(never_begins());
  is_blocked = true;
  for (;;) ::pause();
}

task<> first() {
  auto silent = tcp_listener::bind("127.0.0.1:0"), idle = tcp_listener::bind("127.0.0.1:0");
  fiber<> sleeper = spawn(outermost());
  sleeper.set_name("sleeper");
  spawn(join_it(sleeper));
  spawn(accept_one, std::ref(idle));
  spawn(receive_one(silent.local_address()));
  while (!is_blocked) co_await sleep(1ms);
  std::puts("ready");
  std::fflush(stdout);
  co_await sleep(1h);
}

task<> second() { co_await block(); }

}  // namespace

int main() {
  std::thread other([] { run(second(), {.name = "second"}); });
  run(first(), {.name = "first"});
}
