// Two fibers on one thread: the first program of every gevent tutorial.
//
//     $ ./build/examples/eat_and_play
//     eating ...
//     playing ...
//     done playing
//     done eating
//     1.5 s passed, not 2.5 s
//
// Shows: spawn() starts a fiber, joinall() waits for several. A fiber that sleeps lets other
// fibers run, so the program takes as long as the longest fiber, not as long as all together.
// Leaves out: results and errors of fibers (fiber<T>::get()), ending them (fiber<T>::kill()).
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstdio>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr auto meal_time = 1500ms;
constexpr auto game_time = 1000ms;

double seconds(std::chrono::duration<double> time) { return time.count(); }

task<> eat() {
  std::puts("eating ...");
  co_await sleep(meal_time);
  std::puts("done eating");
}

task<> play() {
  std::puts("playing ...");
  co_await sleep(game_time);
  std::puts("done playing");
}

task<> afternoon() {
  const auto begin = now();
  auto a = spawn(eat), b = spawn(play);
  co_await joinall(a, b);
  const auto passed = now() - begin;
  std::printf("%.1f s passed, not %.1f s\n", seconds(passed), seconds(meal_time + game_time));
}

}  // namespace

int main() { return run_main(afternoon()); }
