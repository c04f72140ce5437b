// The examples in the headers of sched/threads do what their comments say. Method: see core.cpp.
#include <ringlet/concurrent_queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
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

TEST_SUITE_END();
