// The last tickets: a check, and what follows from it, with a wait between the two.
//
//     $ ./build/examples/tickets
//     without a mutex: 100 of 10 tickets sold, -90 left
//     with a mutex: 10 of 10 tickets sold, 0 left
//
// Shows: what a mutex is for. No other fiber runs between two waits, so `if (left > 0) --left;`
// needs none. But buy_carelessly() waits after the check, and when it continues, other buyers have
// made the same check: that is the mistake. buy() holds the mutex across the wait. Buyers get it
// in the order in which they came, and the guard unlocks it however the call ends, also when the
// buyer is killed.
// Leaves out: buyers that do not wait forever (`lock(5s)`), and several locks at once (dining.cpp).
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstdio>
#include <functional>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr int buyers_count = 100;
constexpr int tickets_count = 10;

struct box_office {
  int left = tickets_count;
  int sold = 0;
  mutex counter;
};

// Stands for the question to the bank.
task<> charge_card() { co_await sleep(1ms); }

task<> buy_carelessly(box_office& office) {
  if (office.left == 0) co_return;
  co_await charge_card();
  --office.left;
  ++office.sold;
}

task<> buy(box_office& office) {
  const mutex::guard turn = co_await office.counter.lock();
  if (office.left == 0) co_return;
  co_await charge_card();
  --office.left;
  ++office.sold;
}

task<> sell(const char* how, task<> (*buy_one)(box_office&)) {
  box_office office;
  const auto body = [&](task_group& buyers) -> task<> {
    for (int i = 0; i < buyers_count; ++i) buyers.spawn(buy_one, std::ref(office));
    co_return;
  };
  co_await with_group(body);
  std::printf("%s: %d of %d tickets sold, %d left\n", how, office.sold, tickets_count, office.left);
}

task<> both_ways() {
  co_await sell("without a mutex", buy_carelessly);
  co_await sell("with a mutex", buy);
}

}  // namespace

int main() { return run_main(both_ways()); }
