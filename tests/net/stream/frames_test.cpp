// read_frame() and write_frame(): whole frames however the bytes arrive, the limit, and no byte
// lost by an interrupted call.
//
// Method: a scripted engine delivers the bytes in chosen portions, split at every byte, to readers
// of a connection, of a standard stream and of a stream in memory. A model on a string, which does
// not use the library to read prefixes, predicts the results of random calls, portions and
// cancellations. Real transports at the end.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/frames.hpp>
#include <ringlet/memory_stream.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "frame_model.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/bytes.hpp"
#include "support/on_script.hpp"
#include "support/random.hpp"
#include "support/scale.hpp"
#include "support/schedulers.hpp"
#include "support/transports.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("frames");

namespace {

// Runs `body(stage, reader, source)` for a reader of each kind.
template <class F>
void for_each_source(std::size_t limit, F body) {
  for (const source& from : sources) {
    CAPTURE(from.name);
    on_stage([&](stage& s) -> task<> {
      if (from.fd == stream_fd) {
        reader in(s.stream, limit);
        co_await body(s, in, from);
      } else {
        reader in(s.standard, limit);
        co_await body(s, in, from);
      }
    });
  }
}

// What read_frame() returns until it returns no frame, one per line.
task<std::string> all_frames(reader& in, frame_format format) {
  std::string all;
  for (;;) {
    const std::string words = co_await frame_from(in, format);
    all += words + '\n';
    if (!words.starts_with("'")) co_return all;
  }
}

// Three frames, the first one empty.
std::string three_frames(const frame_kind& kind) {
  return frame_of(kind, "") + frame_of(kind, "a") + frame_of(kind, pattern(130));
}
std::string three_in_words() { return "''\n'a'\n'" + pattern(130) + "'\nend\n"; }

task<> bring_and_settle(stage& s, const source& from, std::string_view text) {
  while (!text.empty()) {
    co_await settle();
    const std::string_view piece = text.substr(0, 64);  // the size of a lent buffer
    from.bring(s, piece);
    text.remove_prefix(piece.size());
  }
}

}  // namespace

// Splits

TEST_CASE("frames arrive whole wherever the stream is split, with every prefix and order") {
  for (const frame_kind& kind : frame_kinds) {
    CAPTURE(kind.name);
    const std::string text = three_frames(kind);
    for (std::size_t split = 0; split <= text.size(); ++split) {
      CAPTURE(split);
      for_each_source(130, [&](stage& s, reader& in, const source& from) -> task<> {
        const auto reading = spawn(all_frames(in, kind.format));
        co_await bring_and_settle(s, from, std::string_view(text).substr(0, split));
        co_await bring_and_settle(s, from, std::string_view(text).substr(split));
        co_await settle();
        from.bring(s, "");
        const std::string all = co_await reading.get();
        REQUIRE(all == three_in_words());
      });
    }
  }
}

TEST_CASE("frames that arrive byte by byte are whole, and hold no buffer until then") {
  for (const frame_kind& kind : frame_kinds) {
    CAPTURE(kind.name);
    for_each_source(130, [&](stage& s, reader& in, const source& from) -> task<> {
      const std::uint32_t free = s.engine.buffers_free();
      const auto reading = spawn(all_frames(in, kind.format));
      for (const char byte : three_frames(kind)) {
        co_await settle();
        REQUIRE(s.engine.buffers_free() == free);
        from.bring(s, std::string(1, byte));
      }
      co_await settle();
      from.bring(s, "");
      const std::string all = co_await reading.get();
      CHECK(all == three_in_words());
    });
  }
}

TEST_CASE("several frames in one piece are returned one by one, and none of them is copied") {
  for_each_source(100, [](stage& s, reader& in, const source& from) -> task<> {
    const frame_kind& kind = frame_kinds[3];
    from.bring_and_end(s, frame_of(kind, "one") + frame_of(kind, "") + frame_of(kind, "three"));
    const auto one = co_await read_frame(in);
    REQUIRE(one.has_value());
    CHECK(*one == "one");
    const char* const where = one->data();
    const auto empty = co_await read_frame(in);
    REQUIRE(empty.has_value());
    CHECK(empty->empty());
    const auto three = co_await read_frame(in);
    REQUIRE(three.has_value());
    CHECK(*three == "three");
    CHECK(three->data() == where + 3 + 4 + 4);
    for (int i = 0; i < 2; ++i) {
      const auto end = co_await read_frame(in);
      CHECK_FALSE(end.has_value());
    }
  });
}

TEST_CASE("a stream that ends within a frame or its prefix is an error, and the bytes stay") {
  for (const frame_kind& kind : frame_kinds) {
    CAPTURE(kind.name);
    const std::string frame = frame_of(kind, pattern(40));
    for (std::size_t had = 1; had < frame.size(); ++had) {
      CAPTURE(had);
      for_each_source(40, [&](stage& s, reader& in, const source& from) -> task<> {
        from.bring_and_end(s, frame.substr(0, had));
        for (int i = 0; i < 2; ++i) {
          const std::string words = co_await frame_from(in, kind.format);
          REQUIRE(words == too_short);
        }
        REQUIRE(in.peek() == frame.substr(0, had));
      });
    }
  }
}

TEST_CASE("frames, lines, raw bytes and frames of other formats follow each other") {
  for_each_source(100, [](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, "hello\r\n" + frame_of(frame_kinds[3], "head") + "body" +
                              frame_of(frame_kinds[7], "tail"));
    const std::string line = co_await line_of(in);
    CHECK(line == "'hello'");
    const std::string head = co_await frame_from(in, {});
    CHECK(head == "'head'");
    const std::string body = co_await exact_of(in, 4);
    CHECK(body == "'body'");
    const std::string tail = co_await all_frames(in, length_prefix::varint);
    CHECK(tail == "'tail'\nend\n");
  });
}

// Limits

TEST_CASE("a frame as long as the limit is returned, and one byte more is an error at once") {
  for (const frame_kind& kind : frame_kinds) {
    CAPTURE(kind.name);
    constexpr std::size_t limit = 100;
    for (const std::size_t size : {limit - 1, limit}) {
      for_each_source(limit, [&](stage& s, reader& in, const source& from) -> task<> {
        const auto reading = spawn(all_frames(in, kind.format));
        co_await bring_and_settle(s, from, frame_of(kind, pattern(size)));
        co_await settle();
        from.bring(s, "");
        const std::string all = co_await reading.get();
        CHECK(all == "'" + pattern(size) + "'\nend\n");
      });
    }
    for_each_source(limit, [&](stage& s, reader& in, const source& from) -> task<> {
      const auto reading = spawn(frame_from(in, kind.format));
      co_await bring_and_settle(s, from, prefix_of(kind, limit + 1));
      const std::string words = co_await reading.get();
      CHECK(words == too_long);
      // Nothing was taken, and every further call says the same, whatever comes.
      CHECK(in.peek() == prefix_of(kind, limit + 1));
      for (int i = 0; i < 3; ++i) {
        const std::string again = co_await frame_from(in, kind.format);
        CHECK(again == too_long);
      }
    });
  }
}

TEST_CASE("a huge length is too long, and no memory is allocated for it") {
  for (const std::uint64_t length :
       {std::uint64_t(1) << 31, std::uint64_t(1) << 32, std::uint64_t(1) << 63,
        ~std::uint64_t(0) - 10, ~std::uint64_t(0)}) {
    CAPTURE(length);
    for (const frame_kind& kind : frame_kinds) {
      if (length > kind.format.max_length()) continue;
      CAPTURE(kind.name);
      for (const std::size_t limit : {std::size_t(1), reader::default_limit}) {
        for_each_source(limit, [&](stage& s, reader& in, const source& from) -> task<> {
          from.bring_and_end(s, prefix_of(kind, length) + "x");
          const std::size_t before = allocations();
          const auto refused = co_await as_result(read_frame(in, kind.format));
          const std::size_t made = allocations() - before;
          CHECK(refused.error() == errc::too_long);
          CHECK(made == 0);
        });
      }
    }
  }
}

TEST_CASE("a reader without a practical limit does not add up a length beyond the address space") {
  for_each_source(SIZE_MAX, [](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, prefix_of(frame_kinds[5], ~std::uint64_t(0)) + "x");
    const std::string words = co_await frame_from(in, length_prefix::u64);
    CHECK(words == too_long);
  });
}

TEST_CASE("memory grows with the bytes that arrive, not with the length that the peer claims") {
  if (!allocations_are_counted()) return;
  for_each_source(1 << 30, [](stage& s, reader& in, const source& from) -> task<> {
    const auto reading = spawn(frame_from(in, {}));
    const heap_blocks before = living_heap_blocks();
    co_await bring_and_settle(s, from, prefix_of(frame_kinds[3], 1 << 30) + pattern(200));
    co_await settle();
    CHECK(living_heap_blocks().bytes - before.bytes < 4096);
    reading.request_kill();
    co_await reading.join();
  });
}

TEST_CASE("an overlong varint is malformed, at every further call, too") {
  for_each_source(100, [](stage& s, reader& in, const source& from) -> task<> {
    const std::string text = std::string(10, '\x80') + "x";
    from.bring_and_end(s, text);
    for (int i = 0; i < 3; ++i) {
      const std::string words = co_await frame_from(in, length_prefix::varint);
      CHECK(words == malformed);
    }
    CHECK(in.peek() == text);
  });
}

TEST_CASE("a malformed varint is known after 10 bytes, and a kill at that moment loses nothing") {
  for_each_source(100, [](stage& s, reader& in, const source& from) -> task<> {
    const auto reading = spawn(frame_from(in, length_prefix::varint));
    co_await bring_and_settle(s, from, std::string(9, '\xff'));
    co_await settle();
    CHECK_FALSE(reading.done());
    from.bring(s, "\xff");
    reading.request_kill();
    const std::string words = co_await reading.get();
    CHECK(words == malformed + ", then cancelled");
    const std::string again = co_await frame_from(in, length_prefix::varint);
    CHECK(again == malformed);
  });
}

TEST_CASE("errors name the call, the length and the limit") {
  for_each_source(16, [](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, prefix_of(frame_kinds[3], 70'000));
    std::string what;
    try {
      co_await read_frame(in);
    } catch (const std::system_error& error) {
      CHECK(error.code() == errc::too_long);
      what = error.what();
    }
    CHECK(what ==
          "read_frame: a frame of 70000 bytes, and the limit is 16: the message exceeds "
          "the size limit");
  });
  for_each_source(16, [](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, std::string(10, '\xff'));
    std::string what;
    try {
      co_await read_frame(in, length_prefix::varint);
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::bad_message);
      what = error.what();
    }
    CHECK(what ==
          "read_frame: the length is not a varint of at most 10 bytes and 64 bits: " + malformed);
  });
  for_each_source(16, [](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, "x");
    std::string what;
    try {
      co_await read_frame(in);
    } catch (const std::system_error& error) {
      what = error.what();
    }
    CHECK(what == "read_frame: unexpected end of stream");
  });
}

// Cancellation

TEST_CASE("read_frame() that is killed, timed out or given up after any byte loses none") {
  enum class way { kill, limit, scope };
  for (const way how : {way::kill, way::limit, way::scope}) {
    for (const frame_kind& kind : frame_kinds) {
      CAPTURE(kind.name);
      const std::string frame = frame_of(kind, "abcdef");
      for_each_source(6, [&](stage& s, reader& in, const source& from) -> task<> {
        for (std::size_t had = 0; had < frame.size(); ++had) {
          auto inner = [&]() -> task<> {
            const time_limit limit = how == way::limit ? time_limit(5ms) : forever;
            const std::string words = co_await frame_from(in, kind.format, limit);
            CHECK(words == (how == way::limit  ? "timed out"
                            : how == way::kill ? "cancelled"
                                               : "cancelled, then cancelled"));
          };
          auto outer = [&]() -> task<> {
            if (how == way::scope) {
              co_await with_timeout(5ms, inner());
            } else {
              co_await inner();
            }
          };
          const auto fiber = spawn(outer);
          co_await settle();
          if (how == way::kill) fiber.request_kill();
          co_await sleep(6ms);
          co_await fiber.join();
          if (had + 1 == frame.size()) break;
          const auto next = spawn(frame_from(in, kind.format));
          co_await settle();
          from.bring(s, frame.substr(had, 1));
          co_await settle();
          CHECK_FALSE(next.done());
          next.request_kill();
          const std::string words = co_await next.get();
          CHECK(words == "cancelled");
          CHECK(in.peek() == frame.substr(0, had + 1));
        }
        const auto last = spawn(frame_from(in, kind.format));
        co_await settle();
        from.bring(s, frame.substr(frame.size() - 1));
        const std::string words = co_await last.get();
        CHECK(words == "'abcdef'");
      });
    }
  }
}

TEST_CASE("success wins: a frame that had arrived when the call was killed is returned") {
  const std::string frame = frame_of(frame_kinds[3], "abc");
  for_each_source(6, [&](stage& s, reader& in, const source& from) -> task<> {
    const auto undelivered = spawn(frame_from(in, {}));
    co_await settle();
    from.bring(s, frame);
    undelivered.request_kill();
    std::string words = co_await undelivered.get();
    CHECK(words == "'abc', then cancelled");
    const auto delivered = spawn(frame_from(in, {}));
    co_await settle();
    from.bring(s, frame);
    co_await sleep(0s);
    delivered.request_kill();
    words = co_await delivered.get();
    CHECK(words == "'abc', then cancelled");
    s.engine.hold_cancellations(true);
    const auto late = spawn(frame_from(in, {}, 5ms));
    co_await sleep(6ms);
    from.bring(s, frame);
    words = co_await late.get();
    CHECK(words == "'abc'");
    s.engine.hold_cancellations(false);
  });
}

TEST_CASE("a fiber that was killed before read_frame() takes no frame, although one has arrived") {
  const std::string frame = frame_of(frame_kinds[3], "abc");
  for_each_source(6, [&](stage& s, reader& in, const source& from) -> task<> {
    from.bring_and_end(s, frame + frame);
    const std::string first = co_await frame_from(in, {});
    CHECK(first == "'abc'");
    const auto killed = spawn(frame_from(in, {}));
    killed.request_kill();
    co_await killed.join();
    const std::string second = co_await frame_from(in, {});
    CHECK(second == "'abc'");
  });
}

TEST_CASE("closing the stream ends the waiting read_frame(), and what has arrived stays") {
  on_stage([](stage& s) -> task<> {
    reader in(s.stream, 10);
    const auto reading = spawn(frame_from(in, {}));
    co_await settle();
    sources[0].bring(s, std::string("\0\0", 2));
    co_await settle();
    co_await s.stream.close();
    const std::string words = co_await reading.get();
    CHECK(words == make_error_code(errc::closed).message());
    CHECK(in.peek().size() == 2);
  });
}

// Memory

TEST_CASE("read_frame() without memory fails, loses nothing and may be called again") {
  if (!allocations_are_counted()) return;
  // On a stream in memory: the script of an engine would itself allocate.
  on_script([]() -> task<> {
    const std::string frame = frame_of(frame_kinds[3], pattern(100));
    int failures = 0;
    for (int number = 0;; ++number) {
      REQUIRE(number < 50);
      auto [near, far] = memory_stream::pair();
      reader in(far, 100);
      bool has_failed = false;
      bool is_whole = false;
      // The first half is kept until the second one comes.
      for (const std::string_view half :
           {std::string_view(frame).substr(0, 50), std::string_view(frame).substr(50)}) {
        co_await near.write_all(half);
        for (int tries = 0; tries < 2; ++tries) {
          bool failed_now = false;
          {
            std::optional<failing_allocation> failing;
            if (!has_failed) failing.emplace(number);
            try {
              const auto got = co_await as_result(read_frame(in, {}, 0s));
              failed_now = !got && got.error() == std::errc::not_enough_memory;
              is_whole = got && *got == std::string_view(frame).substr(4);
            } catch (const std::bad_alloc&) {
              failed_now = true;
            }
          }
          if (!failed_now) break;
          has_failed = true;
          REQUIRE(tries == 0);
        }
      }
      REQUIRE(is_whole);
      if (!has_failed) break;
      ++failures;
    }
    CHECK(failures != 0);
  });
}

// Random calls against the model

namespace {

std::string random_stream(random_numbers& chance, std::size_t limit) {
  std::string made;
  for (std::size_t frames = chance.below(12); frames != 0; --frames) {
    const frame_kind& kind = frame_kinds[chance.below(frame_kinds.size())];
    made += frame_of(kind, pattern(chance.below(limit + 1)));
    if (chance.once_in(30)) made += prefix_of(kind, chance.next() >> chance.below(64));
    if (chance.once_in(30)) made += std::string(chance.below(12), '\x80');
  }
  if (chance.once_in(3)) made.resize(made.size() - std::min(made.size(), chance.below(9)));
  return made;
}

task<> bring_randomly(stage& s, const source& from, std::string_view text, random_numbers& chance) {
  for (;;) {
    co_await settle();
    if (!from.is_waited_for(s)) {
      co_await sleep(1ms);
    } else if (chance.once_in(3)) {
      co_await sleep(11ms);  // the limit of the call passes
    } else {
      const std::size_t size = std::min(chance.below(30) + 1, text.size());
      from.bring(s, text.substr(0, size));
      text.remove_prefix(size);
    }
  }
}

task<std::string> frame_at_last(reader& in, frame_format format, random_numbers& chance) {
  for (;;) {
    std::string words;
    if (chance.once_in(3)) {
      const auto fiber = spawn(frame_from(in, format));
      for (std::size_t rounds = 1 + chance.below(8); rounds != 0; --rounds) co_await sleep(0s);
      fiber.request_kill();
      words = co_await fiber.get();
      constexpr std::string_view later = ", then cancelled";
      if (words.ends_with(later)) words.resize(words.size() - later.size());
    } else {
      words = co_await frame_from(in, format, 10ms);
    }
    if (words != "timed out" && words != "cancelled") co_return words;
  }
}

task<> compare_with_model(stage& s, reader& in, const source& from, random_numbers& chance) {
  const std::string text = random_stream(chance, in.limit());
  frame_model expected{text, in.limit()};
  const auto feeder = spawn(&bring_randomly, std::ref(s), std::cref(from), text, std::ref(chance));
  for (int calls = 0; calls < 40; ++calls) {
    const frame_kind& kind = frame_kinds[chance.below(frame_kinds.size())];
    const std::string words = co_await frame_at_last(in, kind.format, chance);
    REQUIRE(words == expected.next(kind));
    if (words == "end") break;
    if (words.starts_with("'")) continue;
    // Skips a byte, as a program may that looks for the next frame.
    const auto byte = co_await as_result(in.read_exact(1));
    if (byte) expected.left.remove_prefix(1);
  }
  feeder.request_kill();
  co_await feeder.join();
}

}  // namespace

TEST_CASE("random streams, formats, portions and cancellations return what the model predicts") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    if (test_seed() != 0 && test_seed() != seed) continue;
    CAPTURE(seed);
    random_numbers chance(seed);
    const std::size_t limit = chance.below(90) + 1;
    for_each_source(limit, [&](stage& s, reader& in, const source& from) -> task<> {
      return compare_with_model(s, in, from, chance);
    });
  }
}

// Writing

TEST_CASE("write_frame() sends the prefix and the bytes by one request") {
  on_stage([](stage& s) -> task<> {
    writer out(s.stream);
    for (const frame_kind& kind : frame_kinds) {
      CAPTURE(kind.name);
      const std::size_t before = s.engine.started(opcode::send_message);
      std::string sent;
      s.engine.on_start = [&](operation& op) {
        const auto& message = *static_cast<const msghdr*>(op.data);
        for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
          sent.append(static_cast<const char*>(message.msg_iov[i].iov_base),
                      message.msg_iov[i].iov_len);
        }
        s.engine.complete(op, static_cast<std::int32_t>(sent.size()));
      };
      co_await write_frame(out, "hello", kind.format);
      CHECK(sent == frame_of(kind, "hello"));
      sent.clear();
      co_await write_frame(out, "", kind.format);
      CHECK(sent == frame_of(kind, ""));
      sent.clear();
      const std::array parts{bytes("he"), bytes(""), bytes("llo")};
      co_await write_frame(out, parts, kind.format);
      CHECK(sent == frame_of(kind, "hello"));
      sent.clear();
      co_await write_frame(out, bytes("bytes"), kind.format);
      CHECK(sent == frame_of(kind, "bytes"));
      CHECK(s.engine.started(opcode::send_message) == before + 4);
      s.engine.on_start = {};
    }
  });
}

TEST_CASE("a frame that its prefix cannot express is refused, and nothing is written") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    writer out(near);
    const std::string large = pattern(256);
    const std::array parts{bytes(large)};
    std::string what;
    try {
      co_await write_frame(out, large, length_prefix::u8);
    } catch (const std::system_error& error) {
      CHECK(error.code() == errc::too_long);
      what = error.what();
    }
    CHECK(what ==
          "write_frame: a frame of 256 bytes, and its prefix can express 255: the message "
          "exceeds the size limit");
    const auto refused = co_await as_result(write_frame(out, parts, length_prefix::u8));
    CHECK(refused.error() == errc::too_long);
    CHECK(near.bytes_written() == 0);
    co_await write_frame(out, std::string_view(large).substr(1), length_prefix::u8);
    reader in(far);
    const std::string frame = co_await frame_from(in, length_prefix::u8);
    CHECK(frame == "'" + large.substr(1) + "'");
  });
}

// Every source and sink

TEST_CASE_TEMPLATE("frames of all formats cross every transport in both modes", T, tcp_transport,
                   unix_transport, socket_pair_transport, pipe_transport, standard_transport,
                   memory_transport) {
  const std::string kind_of_transport = T::name;
  CAPTURE(kind_of_transport);
  on_one_scheduler([]() -> task<> {
    T made = co_await T::make();
    const std::string large = pattern(200'000);
    const std::array<std::string_view, 4> texts{"", "a", "hello", large};
    const auto writing = spawn([&]() -> task<> {
      writer out(*made.out);
      for (const frame_kind& kind : frame_kinds) {
        if (kind.size != 1) out.cork();
        for (const std::string_view text : texts) {
          if (text.size() <= kind.format.max_length()) {
            co_await write_frame(out, text, kind.format);
          }
        }
        co_await out.flush();
      }
      made.end();
    });
    reader in(*made.in, large.size());
    for (const frame_kind& kind : frame_kinds) {
      for (const std::string_view text : texts) {
        if (text.size() > kind.format.max_length()) continue;
        const auto frame = co_await read_frame(in, kind.format);
        REQUIRE(frame.has_value());
        REQUIRE(*frame == text);
      }
    }
    const auto end = co_await read_frame(in);
    CHECK_FALSE(end.has_value());
    co_await writing.get();
  });
}

TEST_CASE("frames arrive over a stream in memory that holds few bytes") {
  for (const std::size_t capacity : {1u, 2u, 3u, 7u}) {
    on_script([&]() -> task<> {
      auto [near, far] = memory_stream::pair(capacity);
      memory_stream& to = near;
      const auto writing = spawn([&]() -> task<> {
        writer out(to);
        for (const frame_kind& kind : frame_kinds) {
          co_await write_frame(out, pattern(100), kind.format);
        }
        to.shutdown_write();
      });
      reader in(far, 100);
      for (const frame_kind& kind : frame_kinds) {
        const std::string words = co_await frame_from(in, kind.format);
        REQUIRE(words == "'" + pattern(100) + "'");
      }
      const std::string end = co_await frame_from(in, {});
      CHECK(end == "end");
      co_await writing.get();
    });
  }
}

TEST_SUITE_END();
