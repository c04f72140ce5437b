// The examples in the headers of sched/threads do what their comments say. Method: see core.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/concurrent_queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/run_on.hpp>
#include <ringlet/runtime.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

using namespace ringlet;

// Not anonymous, because the templates of the library are made for it.
namespace around_concurrent_event {

int cache = 0;
std::atomic<int> sum = 0;

void fill(int& filled) { filled = 7; }
task<> work() {
  sum += cache;
  co_return;
}

}  // namespace around_concurrent_event

namespace around_concurrent_queue {

struct job {};
concurrent_queue<job> jobs(2);
int left = 100;
std::atomic<int> done = 0;

task<std::optional<job>> read_job() {
  if (left-- == 0) co_return std::nullopt;
  co_return job();
}
task<> work(job) {
  ++done;
  co_return;
}

}  // namespace around_concurrent_queue

namespace around_concurrent_semaphore {

struct query {
  int number;
};
using rows = int;
struct {
  task<rows> run(query q) { co_return q.number + 1; }
} database;

}  // namespace around_concurrent_semaphore

namespace around_remote_fiber {

task<int> count_users() { co_return 3; }

}  // namespace around_remote_fiber

namespace around_remote_future {

std::string logged;
void log(const std::string& line) { logged += line; }

}  // namespace around_remote_future

namespace around_remote_promise {

// Calls back on a thread of its own.
class reading_library {
 public:
  template <class F>
  void read(F called) {
    thread_ = std::thread([called = std::move(called)]() mutable { called(7); });
  }
  void stop() { thread_.join(); }

 private:
  std::thread thread_;
};
reading_library library;

}  // namespace around_remote_promise

namespace around_run_on {

int count_of(const std::string& item) { return static_cast<int>(item.size()); }

}  // namespace around_run_on

namespace around_runtime {

// Streams belong to net.
struct tcp_stream {};
struct listen_options {
  bool reuse_port = false;
};
struct tcp_listener {
  static tcp_listener bind(const char*, const listen_options&) { return {}; }
  task<tcp_stream> accept() {
    if (left-- == 0) throw std::system_error(std::make_error_code(std::errc::invalid_argument));
    co_return tcp_stream();
  }
  int left = 2;
};
std::atomic<int> echoed = 0;
task<> echo(tcp_stream) {
  ++echoed;
  co_return;
}
using page = std::string;
task<page> fetch(std::string name) { co_return "page " + name; }

}  // namespace around_runtime

namespace around_scheduler_handle {

std::atomic<int> reads = 0;
int latest = 0;  // of the server's thread
int read_sensor() { return ++reads; }
bool is_stopped() { return latest >= 3; }

}  // namespace around_scheduler_handle

#include <threads_examples.hpp>

TEST_SUITE_BEGIN("examples of threads");

TEST_CASE("the example of blocking.hpp says whether a file exists") {
  CHECK(run(example_blocking::exists("/")));
  CHECK_FALSE(run(example_blocking::exists("/no such file")));
}

TEST_CASE("the example of concurrent_event.hpp lets schedulers work when a thread has loaded") {
  std::thread one([] { run(example_concurrent_event::serve()); });
  std::thread two([] { run(example_concurrent_event::serve()); });
  example_concurrent_event::load();
  one.join();
  two.join();
  CHECK(around_concurrent_event::sum == 14);
}

TEST_CASE("the examples of concurrent_queue.hpp do all jobs that were read") {
  std::thread one([] { run(example_concurrent_queue::consume()); });
  std::thread two([] { run(example_concurrent_queue::consume()); });
  run(example_concurrent_queue::produce());
  one.join();
  two.join();
  CHECK(around_concurrent_queue::done == 100);
  around_concurrent_queue::jobs.push_blocking({});
  around_concurrent_queue::jobs.close();
  run(example_concurrent_queue_2::example());
  CHECK(around_concurrent_queue::done == 101);
}

TEST_CASE("the example of concurrent_semaphore.hpp asks, and gives its permit back") {
  CHECK(run(example_concurrent_semaphore::ask({6})) == 7);
  CHECK(example_concurrent_semaphore::connections.available() == 20);
}

TEST_CASE("the examples of remote_future.hpp and remote_promise.hpp get what a thread sets") {
  remote_promise<std::string> promised;
  std::thread other([&] { run(example_remote_future::print(promised.get_future())); });
  promised.set_value("echo");
  other.join();
  CHECK(around_remote_future::logged == "echo");
  CHECK(run(example_remote_promise::measure()) == 7);
  around_remote_promise::library.stop();
}

TEST_CASE("the examples of remote_fiber.hpp get a count from another scheduler") {
  runtime server({.threads = 1});
  example_remote_fiber::worker_thread(server.handle(0));
  run(example_remote_fiber::report(server.handle(0)));
}

TEST_CASE("the example of run_on.hpp asks the scheduler that has the item") {
  runtime server({.threads = 2});
  const auto apples = server.spawn(0, example_run_on::stock_of, std::string("apples"));
  CHECK(apples.get_blocking() == 6);
}

TEST_CASE("the example of per_scheduler.hpp has an object on each scheduler") {
  runtime server({.threads = 2});
  server.spawn(0, example_per_scheduler::serve).get_blocking();
}

TEST_CASE("the examples of runtime.hpp end when a listener fails, and fetch a page") {
  around_runtime::echoed = 0;
  CHECK(run_main_on_all(example_runtime::serve, {.threads = 2}) == 1);
  CHECK(example_runtime_2::front_page() == "page /index.html");
}

TEST_CASE("the example of scheduler_handle.hpp posts values until it is told to stop") {
  around_scheduler_handle::reads = around_scheduler_handle::latest = 0;
  runtime server({.threads = 1});
  std::thread sensor(example_scheduler_handle::sensor, server.handle(0));
  sensor.join();
  CHECK(server.handle(0).call([] { return around_scheduler_handle::latest; }) >= 3);
}

TEST_SUITE_END();
