// Two calls that pass control to each other by hand: the first program of greenlet's introduction.
//
//     $ ./build/examples/switch_by_hand
//     play a
//     eat 1
//     play b
//     eat 2
//     back in main: 2 games and 2 meals
//
// Shows: a greenlet<> does nothing until it is switched to. switch_to() suspends the caller until a
// greenlet switches back; no scheduler is involved. A greenlet that ends returns control to its
// parent, the one that created it. Here play ends first; eat stays suspended and is destroyed with
// its owner. Leaves out: passing values with each switch (greenlet<T>), exceptions (throw_into()),
// and waiting, which suspends the whole fiber. For calls that wait for time or bytes, see
// eat_and_play.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <cstdio>
#include <functional>
#include <optional>

using namespace ringlet;

namespace {

// Each refers to the other, so they are created together.
struct afternoon {
  std::optional<greenlet<>> play;
  std::optional<greenlet<>> eat;
  int games = 0;
  int meals = 0;
};

task<> play_games(afternoon& today) {
  for (const char game : {'a', 'b'}) {
    std::printf("play %c\n", game);
    ++today.games;
    co_await today.eat->switch_to();
  }
}

task<> eat_meals(afternoon& today) {
  for (int meal = 1;; ++meal) {
    std::printf("eat %d\n", meal);
    ++today.meals;
    co_await today.play->switch_to();
  }
}

task<> switch_by_hand() {
  afternoon today;
  today.play.emplace(play_games, std::ref(today));
  today.eat.emplace(eat_meals, std::ref(today));
  co_await today.play->switch_to();
  std::printf("back in main: %d games and %d meals\n", today.games, today.meals);
}

}  // namespace

int main() { return run_main(switch_by_hand()); }
