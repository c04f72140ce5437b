// The dining philosophers: five fibers, five mutexes, first with a deadlock and then without.
//
//     $ ./build/examples/dining
//     left fork first:
//     Kant eats
//     deadlock: fiber 6 "Hume", ... and fiber 5 "Kant" wait for locks of each other
//     fiber 6 "Hume": lock mutex 0x7ffa... with 1 waiting (at most 1), held by fiber 2 "Plato", ...
//     ...
//     lower fork first:
//     Kant eats
//     ...
//     all have eaten
//
// Shows: a cycle of locks is found when it closes, although other fibers and timers are alive. The
// lock() that closed it throws `deadlock`, whose text says who holds what, who waits for what, and
// where. Here it ends the group, and with that the dinner. The cure is an order of the locks: if
// every fiber takes the lower of its two forks first, the fibers cannot form a cycle.
// Leaves out: giving up instead, with a limit: `co_await as_result(fork.lock(10ms))`. A cycle in
// which a wait has a limit is no deadlock.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr std::array names = {"Plato", "Seneca", "Spinoza", "Kant", "Hume"};
constexpr std::size_t seats = names.size();

using forks = std::array<mutex, seats>;

task<> dine(const char* name, mutex& first, mutex& second) {
  const mutex::guard one = co_await first.lock();
  co_await sleep(1ms);  // thinks, with one fork in the hand
  const mutex::guard other = co_await second.lock();
  std::printf("%s eats\n", name);
  co_await sleep(1ms);
}

// Prints whose dinner failed, and why.
void print(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& failure) {
    std::puts(failure.what());
  }
}

task<> serve(bool in_order) {
  forks table;
  const auto body = [&](task_group& guests) -> task<> {
    for (std::size_t i = 0; i < seats; ++i) {
      const std::size_t left = i;
      const std::size_t right = (i + 1) % seats;
      const std::size_t first = in_order ? std::min(left, right) : left;
      const std::size_t second = in_order ? std::max(left, right) : right;
      guests.spawn(dine, names[i], std::ref(table[first]), std::ref(table[second]))
          .set_name(names[i]);
    }
    co_return;
  };
  try {
    co_await with_group(body);
    std::puts("all have eaten");
  } catch (const group_error& failed) {
    for (const std::exception_ptr& error : failed.errors()) print(error);
  }
}

task<> two_dinners() {
  std::puts("left fork first:");
  co_await serve(false);
  std::puts("lower fork first:");
  co_await serve(true);
}

}  // namespace

int main() { return run_main(two_dinners()); }
