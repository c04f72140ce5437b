// Frames: what read_frame() makes of any bytes, wherever they were split and whichever calls were
// interrupted, as a simple model on a string says; and what a writer and a reader make of frames
// of any sizes.
//
// An input: the bytes of the stream, then the choices, then the number of choices.
// SPDX-License-Identifier: MIT
#include <ringlet/codec.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/frames.hpp>
#include <ringlet/memory_stream.hpp>
#include <ringlet/sleep.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "net/stream/frame_model.hpp"
#include "support/on_script.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t limit_max = 200;

// Delivers the text in portions on request, or lets the limit of the call pass instead.
task<> bring(stage& s, const source& from, std::string_view text, choices& chosen) {
  for (;;) {
    co_await settle();
    if (!from.is_waited_for(s)) {
      co_await sleep(1ms);
    } else if (chosen.below(4) == 3) {
      co_await sleep(11ms);
    } else {
      const std::size_t size = std::min(1 + chosen.below(64), text.size());
      from.bring(s, text.substr(0, size));
      text.remove_prefix(size);
    }
  }
}

// Repeats the call until it is not interrupted by its limit or a kill.
task<std::string> frame_at_last(reader& in, frame_format format, choices& chosen) {
  constexpr std::string_view killed_later = ", then cancelled";
  for (;;) {
    std::string words;
    if (chosen.below(4) == 3) {
      const auto fiber = spawn(frame_from(in, format));
      const std::size_t rounds = 1 + chosen.below(8);  // begins, or the call would be lost
      for (std::size_t i = 0; i < rounds; ++i) co_await sleep(0s);
      fiber.request_kill();
      words = co_await fiber.get();
      if (words.ends_with(killed_later)) words.resize(words.size() - killed_later.size());
    } else {
      words = co_await frame_from(in, format, 10ms);
    }
    if (words != "timed out" && words != "cancelled") co_return words;
  }
}

// The frames of a stream of any bytes, in formats that may change from frame to frame.
task<> read_frames(stage& s, reader& in, const source& from, std::string_view text,
                   choices& chosen) {
  frame_model model{text, in.limit()};
  const auto feeder = spawn(&bring, std::ref(s), std::cref(from), text, std::ref(chosen));
  for (;;) {
    const frame_kind& kind = frame_kinds[chosen.below(frame_kinds.size())];
    const std::string words = co_await frame_at_last(in, kind.format, chosen);
    const std::string wanted = model.next(kind);
    if (words != wanted) {
      demand(false, "read_frame() agrees with the model:", words + " instead of " + wanted);
    }
    if (words == "end") break;
    if (words.starts_with("'")) continue;
    demand(in.peek().size() <= model.left.size() && model.left.starts_with(in.peek()),
           "a frame that is refused stays in the reader:", in.peek());
    // Skips a byte, as a program may that looks for the next frame.
    const auto byte = co_await as_result(in.read_exact(1));
    demand(byte.has_value(), "the byte of a refused frame is still there");
    model.left.remove_prefix(1);
  }
  feeder.request_kill();
  co_await feeder.join();
}

task<> read_from_stage(stage& s, std::string_view text, choices& chosen) {
  const source& from = sources[chosen.below(sources.size())];
  const std::size_t limit = 1 + chosen.below(limit_max);
  if (from.fd == stream_fd) {
    reader in(s.stream, limit);
    co_await read_frames(s, in, from, text, chosen);
  } else {
    reader in(s.standard, limit);
    co_await read_frames(s, in, from, text, chosen);
  }
}

// Cuts the text into frames, which a writer writes and a reader reads, over few bytes of memory.
task<> write_and_read(std::string_view text, choices& chosen) {
  const frame_kind& kind = frame_kinds[chosen.below(frame_kinds.size())];
  auto [near, far] = memory_stream::pair(chosen.size_up_to(300));
  std::vector<std::string_view> frames;
  while (!text.empty()) {
    frames.push_back(text.substr(0, chosen.below(limit_max + 1)));
    if (frames.back().empty() && !chosen.are_left()) frames.back() = text.substr(0, limit_max);
    text.remove_prefix(frames.back().size());
  }
  const std::size_t capacity = chosen.size_up_to(600);
  memory_stream& to = near;
  const auto writing = spawn([&]() -> task<> {
    writer out(to, capacity);
    for (const std::string_view frame : frames) {
      if (chosen.below(3) == 1) out.cork();
      co_await write_frame(out, frame, kind.format);
      demand(out.unflushed() <= capacity, "a writer collects no more than its capacity");
      if (chosen.below(3) == 1) co_await out.flush();
    }
    co_await out.flush();
    to.shutdown_write();
  });
  reader in(far, limit_max);
  for (const std::string_view frame : frames) {
    const auto got = co_await read_frame(in, kind.format);
    demand(got == frame, "a frame arrives as it was written:", frame);
  }
  const auto end = co_await read_frame(in, kind.format);
  demand(!end.has_value(), "no frame follows the last one");
  co_await writing.get();
}

struct text_codec {
  using value_type = std::string_view;
  decoded<std::string_view> decode(std::string_view bytes) const { return {bytes, bytes.size()}; }
  void encode(std::string_view value, std::string& out) const { out += value; }
};

// A codec for values in frames, without a stream.
void decode(std::string_view text, choices& chosen) {
  const frame_kind& kind = frame_kinds[chosen.below(frame_kinds.size())];
  framed<text_codec> format(kind.format);
  frame_model model{text, text.size()};
  const std::string wanted = model.next(kind);
  if (wanted == "end") return;
  const auto got = format.decode(text);
  if (got) {
    demand("'" + std::string(*got) + "'" == wanted, "decode() agrees with the model:", wanted);
    demand(got.used() == text.size() - model.left.size(), "decode() takes the frame");
    std::string again;
    format.encode(*got, again);
    const bool is_padded = kind.size == 0 && again.size() < got.used();
    demand(is_padded || again == text.substr(0, got.used()), "encode() undoes decode()");
  } else if (got.error()) {
    demand(wanted == malformed, "decode() refuses what the model refuses:", wanted);
  } else {
    demand(got.more() != 0, "decode() asks for at least one byte");
    demand(wanted == too_short || wanted == too_long, "decode() needs more bytes:", wanted);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span input(data, size - 1);
  const std::size_t count = std::min<std::size_t>(data[size - 1], input.size());
  const std::string text(reinterpret_cast<const char*>(data), input.size() - count);
  choices chosen(input.last(count));
  switch (chosen.below(3)) {
    case 0:
      on_stage([&](stage& s) -> task<> { return read_from_stage(s, text, chosen); });
      break;
    case 1:
      on_script([&]() -> task<> { return write_and_read(text, chosen); });
      break;
    default:
      decode(text, chosen);
  }
  return 0;
}
