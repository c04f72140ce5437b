// What ends with main, and what does not.
//
//     $ ./build/examples/daemon_threads
//     main: returns
//     the fiber beside main: was ended
//     the fiber on the other scheduler: was ended
//     the fiber in a shield: was allowed to finish
//     the blocking call: could not be stopped
//     all fibers have ended
//     the thread: was told by post() that the scheduler has ended
//     the thread has ended
//
// (Lines of different threads may change places.)
//
// Shows: fibers are like daemon threads of other languages, but they end by unwinding, with their
// destructors, and before run_main_on_all() returns: those beside the main task, and those on other
// schedulers. A shield() gives a fiber time to finish, and a blocking() call takes the time that it
// takes. A std::thread ends only by itself. This one learns from scheduler_handle::post() that its
// scheduler has ended.
// Leaves out: main tasks that are killed, by Ctrl-C or an error. These are resumed only when the
// fibers that they started have ended, so fibers may use their locals. A main task that returns, as
// this one does, destroys its locals first.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <thread>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

// Works until it is cancelled.
task<> work(const char* where) {
  try {
    for (;;) co_await sleep(10ms);
  } catch (const cancelled&) {
    std::printf("the fiber %s: was ended\n", where);
    throw;
  }
}

task<> save_slowly() { co_await sleep(100ms); }

task<> work_in_shield() {
  co_await shield(1s, save_slowly());
  std::printf("the fiber in a shield: was allowed to finish\n");
}

task<> block() {
  const auto wait_for_disk = [] { std::this_thread::sleep_for(100ms); };
  co_await blocking(wait_for_disk);
  std::printf("the blocking call: could not be stopped\n");
}

// The body of a thread that sends something to a scheduler now and then.
void send_values(const scheduler_handle& to) {
  while (to.post([] {}) != post_result::ended) std::this_thread::sleep_for(10ms);
  std::printf("the thread: was told by post() that the scheduler has ended\n");
}

task<> run_for_a_moment(std::thread& sender) {
  spawn(work, "beside main");
  const auto start_work = [] { spawn(work, "on the other scheduler"); };
  co_await run_on(1, start_work);
  spawn(work_in_shield);
  spawn(block);
  sender = std::thread(send_values, scheduler_handle());
  co_await sleep(50ms);
  std::printf("main: returns\n");
}

}  // namespace

int main() {
  std::thread sender;
  const auto main_task = [&sender](std::size_t k) -> task<> {
    if (k == 0) co_await run_for_a_moment(sender);
  };
  const int code = run_main_on_all(main_task, {.threads = 2});
  std::printf("all fibers have ended\n");
  if (sender.joinable()) sender.join();
  std::printf("the thread has ended\n");
  return code;
}
