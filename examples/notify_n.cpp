// Workers that wait for work; the number that you type is how many of them wake.
//
//     $ printf '2\nthree\n3\n' | ./build/examples/notify_n
//     worker 1
//     worker 2
//     not a number from 0 to 1000: 'three'
//     worker 3
//     worker 4
//     worker 5
//
// Shows: a condition with its mutex. wait(predicate) gives up the mutex while it waits, and holds
// it when it returns; notify(n) wakes the workers that have waited longest, one after the other.
// The predicate makes it safe: work that comes while no worker waits is not lost, and a worker that
// is notified after another has taken the work keeps waiting. Two conditions share one mutex: the
// reader waits for the other, until all jobs are done. At the end of the input notify_all() lets
// all workers look at `is_over`.
// Leaves out: limits (`wait(predicate, 5s)`). A queue would do the same with less code, see
// workers.cpp; a condition is for what is no sequence of items.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <charconv>
#include <cstdio>
#include <functional>
#include <optional>
#include <string_view>
#include <system_error>

using namespace ringlet;

namespace {

constexpr int workers_count = 5;
constexpr int jobs_max = 1000;  // that one line may ask for

struct shop {
  mutex counter;
  condition changed{counter};
  condition served{counter};  // there is no job left
  int jobs = 0;
  bool is_over = false;
};

task<> work(shop& in, int number) {
  const auto has_news = [&] { return in.jobs != 0 || in.is_over; };
  for (;;) {
    const mutex::guard turn = co_await in.counter.lock();
    co_await in.changed.wait(has_news);
    if (in.jobs == 0) co_return;
    if (--in.jobs == 0) in.served.notify();
    std::printf("worker %d\n", number);
  }
}

std::optional<int> parse(std::string_view text) {
  int number = 0;
  const char* const end = text.data() + text.size();
  const auto [behind, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || behind != end || number < 0 || number > jobs_max) return {};
  return number;
}

task<> take_orders(shop& in) {
  standard_stream input = standard_input();
  reader lines(input);
  const auto is_served = [&] { return in.jobs == 0; };
  while (const auto line = co_await lines.read_line()) {
    const std::optional<int> count = parse(*line);
    if (!count) {
      std::printf("not a number from 0 to %d: '%.*s'\n", jobs_max, static_cast<int>(line->size()),
                  line->data());
      continue;
    }
    const mutex::guard turn = co_await in.counter.lock();
    in.jobs += *count;
    in.changed.notify(static_cast<std::size_t>(*count));
    co_await in.served.wait(is_served);
  }
  const mutex::guard turn = co_await in.counter.lock();
  in.is_over = true;
  in.changed.notify_all();
}

task<> open_shop() {
  shop ours;
  const auto body = [&](task_group& all) -> task<> {
    for (int number = 1; number <= workers_count; ++number) {
      all.spawn(work, std::ref(ours), number);
    }
    co_await take_orders(ours);
  };
  co_await with_group(body);
}

}  // namespace

int main() { return run_main(open_shop()); }
