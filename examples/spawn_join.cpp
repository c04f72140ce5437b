// Several calls at once and their results: spawn, joinall and get, as in gevent.
//
//     $ ./build/examples/spawn_join
//     apples: 120 cents
//     bread: 250 cents
//     caviar: out of stock
//     dates: still looking
//     apples and bread: 370 cents
//     dates: told to stop
//
// In Python:
//
//     jobs = [gevent.spawn(price_of, name) for name in names]
//     gevent.joinall(jobs, timeout=0.2)
//     for job in jobs:
//         if job.successful(): print(f"{name}: {job.value} cents")
//     print(jobs[0].get() + jobs[1].get())
//     jobs[3].kill()
//
// Shows: spawn(f, args...) keeps the arguments inside the fiber. joinall() has one timeout for all
// fibers and does not end them. result(), value() and error() of a fiber that has ended. get()
// waits, and throws the exception of the task. kill() ends a fiber and waits until it has ended.
// Leaves out: fibers that must not outlive the call that started them (groups_and_deadlines.cpp).
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

// Stands for a request over the network.
task<int> price_of(std::string name) {
  if (name == "dates") co_await sleep(1h);
  co_await sleep(20ms);
  if (name == "caviar") throw std::runtime_error("out of stock");
  co_return name == "apples" ? 120 : 250;
}

void print(const std::string& name, const fiber<int>& job) {
  std::printf("%s: ", name.c_str());
  switch (job.result()) {
    case outcome::pending:
      std::puts("still looking");
      break;
    case outcome::value:
      std::printf("%d cents\n", job.value());
      break;
    case outcome::cancelled:
      std::puts("told to stop");
      break;
    case outcome::error:
      try {
        std::rethrow_exception(job.error());
      } catch (const std::exception& error) {
        std::puts(error.what());
      }
  }
}

task<> shop() {
  const std::vector<std::string> names = {"apples", "bread", "caviar", "dates"};
  std::vector<fiber<int>> jobs;
  for (const std::string& name : names) jobs.push_back(spawn(price_of, name));
  co_await joinall(jobs, 200ms);
  for (std::size_t i = 0; i < jobs.size(); ++i) print(names[i], jobs[i]);

  const int sum = co_await jobs[0].get() + co_await jobs[1].get();
  std::printf("apples and bread: %d cents\n", sum);

  co_await jobs[3].kill();
  print(names[3], jobs[3]);
}

}  // namespace

int main() { return run_main(shop()); }
