// Two threads that talk: one serves clients, the other one counts their words.
//
//     $ ./build/examples/two_threads 127.0.0.1:9095
//     listening on 127.0.0.1:9095
//     $ printf 'tea\ncoffee\ntea\n' | nc -N 127.0.0.1 9095         # in a second terminal
//     tea: 1
//     coffee: 1
//     tea: 2
//
// Each thread runs a scheduler. What belongs to one of them is never touched by the other: a
// request is a function that is posted to the counting thread, and takes along a promise for the
// answer.
//
// Shows: scheduler_handle::post(), and what to do when a mailbox is full; a remote_promise for each
// request; the end of both threads on Ctrl-C, and an error of either. Leaves out: a runtime starts
// and ends threads with less code, see docs/fork_and_threads.md; a call that blocks or computes for
// a while needs no thread of its own, see blocking().
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <utility>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

// What belongs to the counting thread.
struct counter {
  scheduler_handle thread = {};
  event stopped = {};
  std::map<std::string, std::size_t> counts = {};
};

task<> count_until_stopped(std::promise<counter*>& started) {
  counter mine;
  started.set_value(&mine);
  co_await mine.stopped.wait();
}

// What the serving thread asks the counting one.
class questions {
 public:
  explicit questions(counter& words) : words_(&words), counting_(words.thread) {}

  task<std::size_t> ask(std::string word) {
    remote_promise<std::size_t> counted;
    const remote_future<std::size_t> answer = counted.get_future();
    auto request = [words = words_, word = std::move(word), to = std::move(counted)]() mutable {
      to.set_value(++words->counts[word]);
    };
    const post_result posted = counting_.post(std::move(request));
    if (!posted) {
      throw_error(std::make_error_code(std::errc::resource_unavailable_try_again), "counter");
    }
    co_return co_await answer.get(5s);
  }

  // For the end of the program: may block for a moment, if the mailbox is full.
  void stop() {
    const auto end = [words = words_] { words->stopped.set(); };
    while (counting_.post(end) == post_result::full) std::this_thread::yield();
  }

 private:
  counter* words_;  // for the counting thread only
  scheduler_handle counting_;
};

task<> serve(tcp_stream client, questions& words) {
  reader in(client);
  while (const auto line = co_await in.read_line()) {
    const std::string word(*line);
    const std::size_t count = co_await words.ask(word);
    co_await client.write_all(word + ": " + std::to_string(count) + "\n", 30s);
  }
}

task<> accept_clients(task_group& clients, tcp_listener& listener, questions& words) {
  for (;;) clients.spawn(serve, co_await listener.accept(), std::ref(words));
}

task<> serve_all(const char* where, questions& words) {
  auto listener = tcp_listener::bind(where);
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);
  co_await with_group(group_options{.on_failure = group_failure::report}, accept_clients, listener,
                      words);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: two_threads ADDRESS:PORT\n");
    return 2;
  }
  std::promise<counter*> started;
  std::thread counting([&started] {
    try {
      run(count_until_stopped(started));
    } catch (...) {
      started.set_exception(std::current_exception());
    }
  });
  int status = 1;
  try {
    questions words(*started.get_future().get());
    status = run_main(serve_all(argv[1], words));
    words.stop();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "two_threads: %s\n", error.what());
  }
  counting.join();
  return status;
}
