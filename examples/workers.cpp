// A queue, four workers and a clean stop.
//
//     $ ./build/examples/workers 10
//     worker 1: job 1
//     worker 2: job 2
//     ...
//     10 of 10 jobs done
//     $ ./build/examples/workers 1000000          # then press Ctrl-C after a while
//     stopping: no new jobs, those that are queued are done
//     1234 of 1000000 jobs done
//
// Shows: with_group(), for workers that end with the call that started them. A bounded queue, which
// slows its producer down. close(), after which the workers finish the queued jobs and end.
// shutdown_requested(), a wait that completes on the first Ctrl-C; a second Ctrl-C ends the program
// immediately. Lifetimes: the workers use the queue and the counter, so both are declared outside
// the group. In its body they would be destroyed when the body returns, before the workers end.
// Leaves out: jobs that fail (a failure would cancel the group, and with_group() would throw it;
// see group_failure::report), and results (see when_all() and pool::map()).
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <functional>
#include <system_error>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t workers_count = 4;
constexpr std::size_t queued_max = 16;

task<> work(std::size_t number, queue<std::size_t>& jobs, std::size_t& done) {
  // An error here means that the queue is closed and empty.
  while (const auto job = co_await as_result(jobs.pop())) {
    std::printf("worker %zu: job %zu\n", number, *job);
    co_await sleep(1ms);  // stands for the work
    ++done;
  }
}

// Waits for the request to stop or for room for the next job, whichever comes first.
task<> produce(std::size_t count, queue<std::size_t>& jobs) {
  for (std::size_t job = 1; job <= count; ++job) {
    std::size_t next = job;
    const auto which = co_await select(shutdown_requested(), jobs.push(std::move(next)));
    if (which.index() != 0) continue;
    std::printf("stopping: no new jobs, those that are queued are done\n");
    break;
  }
  jobs.close();
}

task<> run_jobs(std::size_t count) {
  queue<std::size_t> jobs(queued_max);
  std::size_t done = 0;
  const auto body = [&](task_group& workers) -> task<> {
    for (std::size_t number = 1; number <= workers_count; ++number) {
      workers.spawn(work, number, std::ref(jobs), std::ref(done));
    }
    co_await produce(count, jobs);
  };
  co_await with_group(body);
  std::printf("%zu of %zu jobs done\n", done, count);
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t count = 0;
  const char* const text = argc == 2 ? argv[1] : "";
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), count);
  if (error != std::errc() || *end != '\0') {
    std::fprintf(stderr, "usage: workers JOBS (a number)\n");
    return 2;
  }
  return run_main(run_jobs(count));
}
