// Three questions of a quiz, each with a timer: cancelled, fired, restarted.
//
//     $ ./build/examples/timer
//     capital of France? Paris. in time
//     capital of Mongolia? 3 2 1 too late
//     capital of Bhutan? let me think... let me think... Thimphu. in time
//     the timer was cancelled 2 times, and fired once
//
// Shows: timer, whose function is called once, in a fiber of its own, unless cancel() comes first;
// cancel(), which says whether it did; restart(), which gives more time; ticker, for what happens
// regularly; select(), for whichever comes first.
// Leaves out: limits of calls, which need no timer: with_timeout() in groups_and_deadlines.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr auto time_to_answer = 300ms;

struct player {
  int hesitates = 0;  // so often before the answer
  std::chrono::milliseconds thinks;
  std::string answer;
};

// Counts down while the player thinks.
task<> count_down(event& late) {
  ticker beat(time_to_answer / 3);
  for (int left = 3; left > 0; --left) {
    std::printf(" %d", left);
    co_await beat.next();
  }
  late.set();
}

task<> answer(const player& who, timer& clock, queue<std::string>& answers) {
  for (int i = 0; i < who.hesitates; ++i) {
    std::printf(" let me think...");
    co_await sleep(who.thinks);
    clock.restart(time_to_answer);
  }
  co_await sleep(who.thinks);
  std::string text = who.answer;
  co_await answers.push(std::move(text));
}

// True if the answer came in time.
task<bool> ask(const char* question, const player& who, bool aloud) {
  event late;
  queue<std::string> answers;
  timer clock([&]() -> task<> {
    if (aloud) {
      co_await count_down(late);
    } else {
      late.set();
    }
  });
  std::printf("%s", question);
  clock.start(aloud ? 0ms : time_to_answer);
  const fiber<> thinking = spawn(answer, std::cref(who), std::ref(clock), std::ref(answers));
  const auto first = co_await select(answers.pop(), late.wait());
  const bool in_time = first.index() == 0;
  if (in_time) std::printf(" %s.", std::get<0>(first).c_str());
  // The answer was in time exactly if the timer had not fired.
  std::printf(" %s\n", clock.cancel() ? "in time" : "too late");
  co_await thinking.kill();  // it uses what is destroyed now
  co_await clock.join();
  co_return in_time;
}

task<> quiz() {
  const player quick{.thinks = 20ms, .answer = "Paris"};
  const player slow{.thinks = 1h, .answer = "Ulaanbaatar"};
  const player careful{.hesitates = 2, .thinks = 200ms, .answer = "Thimphu"};
  int in_time = 0;
  if (co_await ask("capital of France?", quick, false)) ++in_time;
  if (co_await ask("capital of Mongolia?", slow, true)) ++in_time;
  if (co_await ask("capital of Bhutan?", careful, false)) ++in_time;
  std::printf("the timer was cancelled %d times, and fired once\n", in_time);
}

}  // namespace

int main() { return run_main(quiz()); }
