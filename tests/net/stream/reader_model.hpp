// What the tests of reader share: its source, its calls with their outcome in words, and a simple
// model on a string that predicts each outcome.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/reader.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "support/outcome.hpp"
#include "support/scripted_engine.hpp"
#include "support/stage.hpp"

namespace ringlet::test {
using namespace extend;

inline constexpr const char* too_long = "the message exceeds the size limit";
inline constexpr const char* too_short = "unexpected end of stream";

/// The source of a reader: the operation in flight while it waits.
struct source {
  std::string_view name;
  opcode code;
  int fd;

  operation& in_flight(stage& s) const { return s.engine.oldest(code, fd); }
  bool is_waited_for(const stage& s) const { return s.engine.is_waiting(code, fd); }
  /// "" is the end of the stream.
  void bring(stage& s, std::string_view bytes) const { s.engine.deliver(in_flight(s), bytes); }
  /// Delivers the bytes on request; after that the end of the stream, at every call.
  void bring_and_end(stage& s, std::string bytes) const {
    s.engine.on_start = [this, &s, bytes, brought = false](operation&) mutable {
      if (!std::exchange(brought, true)) bring(s, bytes);
      if (is_waited_for(s)) bring(s, "");
    };
  }
};

inline constexpr std::array sources{source{"connection", opcode::receive, stream_fd},
                                    source{"standard stream", opcode::read, standard_fd}};

inline task<std::string> line_of(reader& in, time_limit timeout = forever) {
  return outcome_of([&in, timeout] { return in.read_line(timeout); });
}
inline task<std::string> until_of(reader& in, std::string_view delimiter,
                                  time_limit timeout = forever) {
  return outcome_of([&in, delimiter, timeout] { return in.read_until(delimiter, timeout); });
}
inline task<std::string> exact_of(reader& in, std::size_t count, time_limit timeout = forever) {
  return outcome_of([&in, count, timeout] { return in.read_exact(count, timeout); });
}
inline task<std::string> peek_of(reader& in, std::size_t count, time_limit timeout = forever) {
  return outcome_of([&in, count, timeout] { return in.peek(count, timeout); });
}
/// The bytes that read_some() returns, in quotes; empty quotes are the end of the stream.
inline task<std::string> some_of(reader& in, std::size_t room, time_limit timeout = forever) {
  std::string memory(room, '?');
  const auto words = co_await outcome_of([&in, &memory, timeout] {
    return in.read_some(std::as_writable_bytes(std::span(memory)), timeout);
  });
  const std::size_t size = words.find(" bytes");
  if (size == std::string::npos) co_return words;
  co_return "'" + memory.substr(0, std::stoul(words)) + "'" + words.substr(size + 6);
}

/// The rest of the text, and what each call must return.
struct reader_model {
  std::string_view left;
  std::size_t limit;

  std::string until(std::string_view delimiter, bool lines) {
    const std::size_t at = left.find(delimiter);
    const std::size_t size = std::min(at, left.size());
    std::string_view taken = left.substr(0, size);
    if (left.empty()) return "end";
    const bool misses = at == std::string_view::npos;
    if (size > limit) {
      left.remove_prefix(misses ? size : size + delimiter.size());
      return too_long;
    }
    if (misses && !lines) return too_short;
    left.remove_prefix(misses ? size : size + delimiter.size());
    if (lines && !misses && taken.ends_with('\r')) taken.remove_suffix(1);
    return "'" + std::string(taken) + "'";
  }
  std::string exact(std::size_t count) {
    if (count > limit) return too_long;
    if (count > left.size()) return too_short;
    const std::string taken(left.substr(0, count));
    left.remove_prefix(count);
    return "'" + taken + "'";
  }
};

}  // namespace ringlet::test
