// One object that many fibers use, made by the first of them, once.
//
//     $ ./build/examples/singleton
//     connecting, attempt 1
//     visitor 1: no answer
//     connecting, attempt 2
//     visitor 2: connection 2
//     visitor 3: connection 2
//     ...
//     10 visitors, 2 attempts, 1 connection
//
// Shows: a static local variable, or std::call_once, makes an object once, too, but the function
// that makes it cannot wait. Here it does, and fibers that ask during that time wait. The first
// attempt fails: its visitor gets the exception, the guard unlocks the mutex, and the next visitor
// tries again. So would it be if the first visitor were killed, or ran out of time.
// Leaves out: an object for each fiber (fiber_local), and one for each scheduler.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>
#include <stdexcept>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr int visitors_count = 10;

class connection {
 public:
  explicit connection(int number) : number_(number) { ++made; }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  int number() const { return number_; }
  static inline int made = 0;

 private:
  int number_;
};

// Makes its object when the first fiber asks for it.
class shared_connection {
 public:
  // The object lives as long as this.
  task<connection*> get() {
    if (made_) co_return &*made_;
    const mutex::guard making = co_await making_.lock();
    if (!made_) co_await connect();  // else another fiber has made it while this one waited
    co_return &*made_;
  }
  int attempts() const { return attempts_; }

 private:
  // Stands for a connection over the network, to a server that is not up yet.
  task<> connect() {
    const int number = ++attempts_;
    std::printf("connecting, attempt %d\n", number);
    co_await sleep(10ms);
    if (number == 1) throw std::runtime_error("no answer");
    made_.emplace(number);
  }

  mutex making_;
  std::optional<connection> made_;
  int attempts_ = 0;
};

task<> visit(int visitor, shared_connection& shared) {
  try {
    const connection* const used = co_await shared.get();
    std::printf("visitor %d: connection %d\n", visitor, used->number());
  } catch (const std::runtime_error& error) {
    std::printf("visitor %d: %s\n", visitor, error.what());
  }
}

task<> open() {
  shared_connection shared;
  const auto body = [&](task_group& visitors) -> task<> {
    for (int i = 1; i <= visitors_count; ++i) visitors.spawn(visit, i, std::ref(shared));
    co_return;
  };
  co_await with_group(body);
  std::printf("%d visitors, %d attempts, %d connection\n", visitors_count, shared.attempts(),
              connection::made);
}

}  // namespace

int main() { return run_main(open()); }
