// Several producers, several consumers, and a queue that knows when all its items are done.
//
//     $ ./build/examples/producer_consumer 3 4 20     producers, consumers, items of each producer
//     12 of 60 items done, 8 in the queue (at most 8)
//     ...
//     60 of 60 items done, 0 in the queue (at most 8)
//     $ ./build/examples/producer_consumer 3 4 100000         # and Ctrl-C, after a while
//     ...
//     stopping: what was made is done
//     1234 of 300000 items done, 0 in the queue (at most 8)
//
// Shows: joinable_queue, whose pop() returns an item in a guard, so that an item is done when its
// consumer leaves the scope, also by an exception; join(), which waits until all items are done; a
// limit, which slows producers down to the speed of the consumers; a group in a group, because the
// producers end first; a fiber that reports the progress, and that is cancelled at the end; the
// first Ctrl-C, which ends the producers while the consumers work on. What is shared is declared
// outside of the groups that use it. Leaves out: items that fail (see supervise()).
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

constexpr std::size_t queued_max = 8;

struct numbers {
  std::size_t producers = 0;
  std::size_t consumers = 0;
  std::size_t items_each = 0;
};

struct item {
  std::size_t producer;
  std::size_t number;
};

task<> produce(std::size_t producer, std::size_t count, joinable_queue<item>& to) {
  for (std::size_t number = 1; number <= count; ++number) {
    co_await sleep(1ms);  // stands for making it
    item made{producer, number};
    co_await to.push(std::move(made));
  }
}

task<> consume(joinable_queue<item>& from, std::size_t& done) {
  auto all = from.items();
  while (const auto next = co_await all.next()) {
    co_await sleep(2ms);  // stands for using it
    ++done;
  }  // here the item is done
}

void print_progress(const joinable_queue<item>& items, std::size_t done, std::size_t count) {
  std::printf("%zu of %zu items done, %zu in the queue (at most %zu)\n", done, count, items.size(),
              items.peak());
  std::fflush(stdout);
}

task<> report(const joinable_queue<item>& items, const std::size_t& done, std::size_t count) {
  for (;;) {
    co_await sleep(100ms);
    print_progress(items, done, count);
  }
}

task<> produce_all(const numbers& of, joinable_queue<item>& to) {
  const auto body = [&](task_group& producers) -> task<> {
    for (std::size_t number = 1; number <= of.producers; ++number) {
      producers.spawn(produce, number, of.items_each, std::ref(to));
    }
    co_return;
  };
  co_await with_group(body);
}

task<> run_all(numbers of) {
  joinable_queue<item> items(queued_max);
  std::size_t done = 0;
  const std::size_t count = of.producers * of.items_each;
  const auto body = [&](task_group& group) -> task<> {
    for (std::size_t i = 0; i < of.consumers; ++i) {
      group.spawn(consume, std::ref(items), std::ref(done));
    }
    const fiber<> reporter = group.spawn(report, std::cref(items), std::cref(done), count);
    const fiber<> producers = group.spawn(produce_all, std::cref(of), std::ref(items));
    const auto which = co_await select(producers.join(), shutdown_requested());
    if (which.index() == 1) {
      std::printf("stopping: what was made is done\n");
      co_await producers.kill();
    }
    co_await items.join();
    items.close();  // the consumers end
    reporter.request_kill();
  };
  co_await with_group(body);
  print_progress(items, done, count);
}

bool parse(const char* text, std::size_t least, std::size_t& value) {
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
  return error == std::errc() && *end == '\0' && value >= least;
}

}  // namespace

int main(int argc, char** argv) {
  numbers of;
  if (argc != 4 || !parse(argv[1], 0, of.producers) || !parse(argv[2], 1, of.consumers) ||
      !parse(argv[3], 0, of.items_each)) {
    std::fprintf(stderr,
                 "usage: producer_consumer PRODUCERS CONSUMERS ITEMS (numbers; at least one "
                 "consumer)\n");
    return 2;
  }
  return run_main(run_all(of));
}
