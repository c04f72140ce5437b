// A history of calls on a reader whose stream arrives in portions: each call must return what a
// simple model on a string says, wherever the stream was split and whichever calls were
// interrupted.
//
// An input: the bytes of the stream, then the choices, then the number of choices.
// SPDX-License-Identifier: MIT
#include <ringlet/fiber.hpp>
#include <ringlet/reader.hpp>
#include <ringlet/sleep.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"
#include "net/stream/reader_model.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t limit_max = 32;
constexpr std::array<std::string_view, 4> delimiters{"\n", "\r\n", "\r\n\r\n", "aab"};

// Delivers the text in portions on request, or lets the limit of the call pass instead.
task<> bring(stage& s, const source& from, std::string_view text, choices& chosen) {
  for (;;) {
    co_await settle();
    if (!from.is_waited_for(s)) {
      co_await sleep(1ms);
    } else if (chosen.below(4) == 3) {
      co_await sleep(11ms);
    } else {
      // Several portions before the reader runs, if it has requested more than one.
      std::size_t portions = 1 + chosen.below(3);
      while (portions-- != 0 && from.is_waited_for(s) && s.engine.buffers_free() != 0) {
        const std::size_t size = std::min(1 + chosen.below(64), text.size());
        from.bring(s, text.substr(0, size));
        text.remove_prefix(size);
      }
    }
  }
}

// Repeats the call until it is not interrupted by its limit or a kill.
template <class Call>
task<std::string> insistently(Call call, choices& chosen) {
  constexpr std::string_view killed_later = ", then cancelled";
  for (;;) {
    std::string words;
    if (chosen.below(4) == 3) {
      const auto fiber = spawn(call(time_limit(forever)));
      const std::size_t rounds = 1 + chosen.below(8);  // begins, or the call would be lost
      for (std::size_t i = 0; i < rounds; ++i) co_await sleep(0s);
      fiber.request_kill();
      words = co_await fiber.get();
      if (words.ends_with(killed_later)) words.resize(words.size() - killed_later.size());
    } else {
      words = co_await call(time_limit(10ms));
    }
    if (words != "timed out" && words != "cancelled") co_return words;
  }
}

// One history: the reader and its model side by side.
class history {
 public:
  history(stage& s, reader& in, const source& from, std::string_view text, choices& chosen)
      : stage_(s), in_(in), from_(from), text_(text), model_{text, in.limit()}, chosen_(chosen) {}

  task<> run() {
    const auto feeder = spawn(&bring, std::ref(stage_), std::cref(from_), text_, std::ref(chosen_));
    while (!ended_) co_await call();
    feeder.request_kill();
    co_await feeder.join();
  }

 private:
  // Without choices: read a line, which consumes something or finds the end.
  task<> call() {
    switch (chosen_.below(7)) {
      case 0:
        return line();
      case 1:
        return piece(delimiters[chosen_.below(delimiters.size())]);
      case 2:
        return exact(chosen_.below(in_.limit() + 2));
      case 3:
        return some(1 + chosen_.below(2 * limit_max));
      case 4:
        return peek(chosen_.below(in_.limit() + 2));
      case 5:
        return line_that_has_come();
      default:
        return what_has_come();
    }
  }
  task<> line() {
    const auto call = [this](time_limit timeout) { return line_of(in_, timeout); };
    const std::string words = co_await insistently(call, chosen_);
    compare(words, model_.until("\n", true));
    ended_ = words == "end";
  }
  task<> piece(std::string_view delimiter) {
    const auto call = [this, delimiter](time_limit timeout) {
      return until_of(in_, delimiter, timeout);
    };
    const std::string words = co_await insistently(call, chosen_);
    compare(words, model_.until(delimiter, false));
  }
  task<> exact(std::size_t count) {
    const auto call = [this, count](time_limit timeout) { return exact_of(in_, count, timeout); };
    const std::string words = co_await insistently(call, chosen_);
    compare(words, model_.exact(count));
  }
  task<> some(std::size_t room) {
    const auto call = [this, room](time_limit timeout) { return some_of(in_, room, timeout); };
    const std::string words = co_await insistently(call, chosen_);
    const std::string_view bytes = unquoted(words);
    demand(bytes.size() <= room, "read_some() brings no more than there is room for:", words);
    demand(bytes.empty() == model_.left.empty(), "read_some() brings 0 bytes at the end:", words);
    compare_and_take(bytes);
  }
  task<> peek(std::size_t count) {
    const auto call = [this, count](time_limit timeout) { return peek_of(in_, count, timeout); };
    const std::string words = co_await insistently(call, chosen_);
    if (count > in_.limit()) {
      compare(words, too_long);
      co_return;
    }
    const std::string_view bytes = unquoted(words);
    demand(bytes.size() >= std::min(count, model_.left.size()), "peek() shows that many:", words);
    consume(bytes);
  }
  task<> line_that_has_come() {
    if (const auto line = in_.try_read_line()) {
      compare("'" + std::string(*line) + "'", model_.until("\n", true));
    }
    co_return;
  }
  task<> what_has_come() {
    const std::string bytes(in_.peek());
    consume(bytes);
    co_return;
  }

  void consume(std::string_view shown) {
    demand(model_.left.starts_with(shown), "peek() shows what comes next:", shown);
    const std::size_t taken = std::min(chosen_.below(limit_max), shown.size());
    in_.consume(taken);
    model_.left.remove_prefix(taken);
  }
  void compare_and_take(std::string_view bytes) {
    demand(model_.left.starts_with(bytes), "no byte is lost, doubled or changed:", bytes);
    model_.left.remove_prefix(bytes.size());
  }
  static std::string_view unquoted(std::string_view words) {
    demand(words.size() >= 2 && words.front() == '\'', "the call succeeds:", words);
    return words.substr(1, words.size() - 2);
  }
  static void compare(std::string_view words, std::string_view wanted) {
    if (words == wanted) return;
    demand(false, "the reader agrees with the model:",
           std::string(words) + " instead of " + std::string(wanted));
  }

  stage& stage_;
  reader& in_;
  const source& from_;
  std::string_view text_;
  reader_model model_;
  choices& chosen_;
  bool ended_ = false;
};

task<> tell(stage& s, std::string_view text, choices& chosen) {
  const source& from = sources[chosen.below(sources.size())];
  const std::size_t limit = 1 + chosen.below(limit_max);
  if (from.fd == stream_fd) {
    reader in(s.stream, limit);
    history told(s, in, from, text, chosen);
    co_await told.run();
  } else {
    reader in(s.standard, limit);
    history told(s, in, from, text, chosen);
    co_await told.run();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span input(data, size - 1);
  const std::size_t count = std::min<std::size_t>(data[size - 1], input.size());
  const std::string text(reinterpret_cast<const char*>(data), input.size() - count);
  choices chosen(input.last(count));
  on_stage([&](stage& s) -> task<> { return tell(s, text, chosen); });
  return 0;
}
