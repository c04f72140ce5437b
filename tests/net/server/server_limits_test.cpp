// server_limits: each timeout, for what handlers do with their streams; and values out of range.
//
// Method: a scripted engine, whose clock shows what happens just before, at and after a limit.
// SPDX-License-Identifier: MIT
#include <ringlet/error.hpp>
#include <ringlet/event.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/reader.hpp>
#include <ringlet/select.hpp>
#include <ringlet/server_limits.hpp>
#include <ringlet/task_group.hpp>

#include <doctest/doctest.h>

#include <linux/tcp.h>
#include <netinet/in.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "net/server/scripted_server.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// The moment after a limit at which the stream is closed.
constexpr auto confirmed = 10ms;

server_limits few_seconds() {
  server_limits limits;
  limits.first_byte_timeout = 2s;
  limits.idle_timeout = 8s;
  limits.write_stall_timeout = 4s;
  return limits;
}

task<> read_all(tcp_stream peer) {
  while (buffer data = co_await peer.receive()) continue;
}

// What a handler saw last.
struct seen {
  std::error_code error;
  int calls = 0;
};

std::string message_of(const server_limits& limits) {
  try {
    detail::connection_server::check(limits);
  } catch (const std::invalid_argument& refused) {
    return refused.what();
  }
  return {};
}

}  // namespace

TEST_SUITE_BEGIN("server_limits");

TEST_CASE("a stream is closed after the limit for its first byte, and not before") {
  on_stage([](stage& s) -> task<> {
    seen last;
    const auto handle = [&](tcp_stream peer) -> task<> {
      const auto got = co_await as_result(peer.receive());
      last.error = got.error();
    };
    scripted_server server(s, handle, few_seconds());
    const int fd = co_await server.connect();
    co_await sleep(2s - 1ns);
    CHECK(server.is_open(fd));
    co_await sleep(1ns + confirmed - 1ns);
    CHECK(server.is_open(fd));
    co_await sleep(1ns);
    co_await settle();
    CHECK_FALSE(server.is_open(fd));
    CHECK(last.error == errc::closed);
    co_await server.stop();
    CHECK(server.result.timed_out_at_first_byte == 1);
    CHECK(server.result.finished == 0);
  });
}

TEST_CASE("a first byte just before the limit, or at it, is in time") {
  for (const auto at : {2s - 1ns, 2s + 0ns}) {
    CAPTURE(at.count());
    on_stage([&](stage& s) -> task<> {
      scripted_server server(s, read_all, few_seconds());
      const int fd = co_await server.connect();
      co_await sleep(at);
      co_await server.send(fd, "x");
      co_await sleep(7s);
      CHECK(server.is_open(fd));
      co_await sleep(1s + confirmed);
      co_await settle();
      CHECK_FALSE(server.is_open(fd));
      co_await server.stop();
      CHECK(server.result.timed_out_idle == 1);
    });
  }
}

TEST_CASE("each byte gives a reader of a whole message the idle limit again") {
  on_stage([](stage& s) -> task<> {
    std::string got;
    const auto handle = [&](tcp_stream peer) -> task<> {
      std::array<std::byte, 5> memory{};
      co_await peer.read_exact(memory);
      got = {reinterpret_cast<const char*>(memory.data()), memory.size()};
    };
    scripted_server server(s, handle, few_seconds());
    const int fd = co_await server.connect();
    for (const char* byte : {"a", "b", "c", "d", "e"}) {
      CHECK(server.is_open(fd));
      co_await server.send(fd, byte);
      co_await sleep(8s - 1ns);
    }
    CHECK(got == "abcde");
    co_await server.stop();
    CHECK(server.result.finished == 1);
  });
}

TEST_CASE("a reader's bytes count as they arrive, not by the line") {
  on_stage([](stage& s) -> task<> {
    std::string got;
    const auto handle = [&](tcp_stream peer) -> task<> {
      reader in(peer, 100);
      const auto line = co_await in.read_line();
      if (line) got = *line;
    };
    scripted_server server(s, handle, few_seconds());
    const int fd = co_await server.connect();
    for (const char* byte : {"a", "b", "\n"}) {
      co_await server.send(fd, byte);
      co_await sleep(7s);
    }
    CHECK(got == "ab");
    co_await server.stop();
    CHECK(server.result.finished == 1);
  });
}

TEST_CASE("only the time that a handler waits for bytes counts") {
  on_stage([](stage& s) -> task<> {
    event go_on;
    const auto handle = [&](tcp_stream peer) -> task<> {
      for (;;) {
        const buffer data = co_await peer.receive();
        if (!data) co_return;
        go_on.reset();
        co_await go_on.wait();
      }
    };
    scripted_server server(s, handle, few_seconds());
    const int fd = co_await server.connect();
    co_await server.send(fd, "x");
    co_await sleep(1h);  // the handler works
    CHECK(server.is_open(fd));
    go_on.set();
    co_await settle();
    co_await sleep(8s - 1ms);
    CHECK(server.is_open(fd));
    co_await sleep(1ms + confirmed);
    co_await settle();
    CHECK_FALSE(server.is_open(fd));
    go_on.set();
    co_await server.stop();
    CHECK(server.result.timed_out_idle == 1);
  });
}

TEST_CASE("a connection whose handler sends is not idle, but what it sends is no first byte") {
  on_stage([](stage& s) -> task<> {
    const auto send_news = [](tcp_stream& peer) -> task<> {
      for (int i = 0; i < 10; ++i) {
        co_await peer.write_all("news");
        co_await sleep(5s);
      }
    };
    const auto handle = [&](tcp_stream peer) -> task<> {
      const auto both = [&](task_group& group) -> task<> {
        group.spawn(send_news(peer));
        while (buffer data = co_await peer.receive()) continue;
      };
      co_await with_group(both);
    };
    scripted_server server(s, handle, few_seconds());
    const auto take_news = [&](int fd) { s.engine.complete(s.engine.oldest(opcode::send, fd), 4); };
    const int silent = co_await server.connect();
    take_news(silent);
    co_await sleep(2s + confirmed);
    co_await settle();
    CHECK_FALSE(server.is_open(silent));
    const int listening = co_await server.connect();
    co_await server.send(listening, "x");
    for (int i = 0; i < 10; ++i) {
      REQUIRE(server.is_open(listening));
      take_news(listening);
      co_await sleep(5s);
      co_await settle();
    }
    co_await sleep(3s - 1ns);
    CHECK(server.is_open(listening));
    co_await sleep(1ns + confirmed);
    co_await settle();
    CHECK_FALSE(server.is_open(listening));
    co_await server.stop();
    CHECK(server.result.timed_out_at_first_byte == 1);
    CHECK(server.result.timed_out_idle == 1);
  });
}

TEST_CASE("a handler that reads in many short calls gives its peer no more time") {
  on_stage([](stage& s) -> task<> {
    queue<int> inbox;
    const auto handle = [&](tcp_stream peer) -> task<> {
      for (;;) {
        const auto first = co_await select(peer.readable(), inbox.pop());
        if (first.index() == 1) continue;
        const buffer data = co_await peer.receive();
        if (!data) co_return;
      }
    };
    scripted_server server(s, handle, few_seconds());
    const int fd = co_await server.connect();
    co_await server.send(fd, "x");
    for (int i = 0; i < 79; ++i) {
      co_await sleep(100ms);
      CHECK(inbox.try_push(i));
    }
    co_await settle();
    CHECK(server.is_open(fd));
    for (int i = 0; i < 50; ++i) {  // more often than a late stream is examined
      co_await sleep(5ms);
      static_cast<void>(inbox.try_push(i));
    }
    CHECK_FALSE(server.is_open(fd));
    co_await server.stop();
    CHECK(server.result.timed_out_idle == 1);
  });
}

TEST_CASE("a handler that ignores the error cannot keep the stream open") {
  on_stage([](stage& s) -> task<> {
    seen last;
    const auto handle = [&](tcp_stream peer) -> task<> {
      while (++last.calls < 10) {
        const auto got = co_await as_result(peer.receive(1s));
        last.error = got.error();
      }
    };
    scripted_server server(s, handle, few_seconds());
    const int fd = co_await server.connect();
    co_await sleep(2s + confirmed);
    co_await settle();
    CHECK_FALSE(server.is_open(fd));
    CHECK(last.calls == 10);
    CHECK(last.error == errc::closed);
    co_await server.stop();
    CHECK(server.result.timed_out_at_first_byte == 1);
  });
}

TEST_CASE("the limits follow a stream that was moved to another fiber") {
  on_stage([](stage& s) -> task<> {
    const auto handle = [](tcp_stream peer) -> task<> {
      co_await spawn(read_all(std::move(peer))).join();
    };
    scripted_server server(s, handle, few_seconds());
    const int fd = co_await server.connect();
    co_await sleep(2s + confirmed);
    co_await settle();
    CHECK_FALSE(server.is_open(fd));
    co_await server.stop();
    CHECK(server.result.timed_out_at_first_byte == 1);
  });
}

// rows: W28 SV-05
TEST_CASE("a stream that outlives its handler has no limits any more") {
  on_stage([](stage& s) -> task<> {
    fiber<void> kept;
    const auto handle = [&](tcp_stream peer) -> task<> {
      kept = spawn(read_all(std::move(peer)));
      co_return;
    };
    scripted_server server(s, handle, few_seconds());
    const int fd = co_await server.connect();
    co_await sleep(1h);
    CHECK(server.is_open(fd));
    co_await server.stop();
    CHECK(server.result.finished == 1);
    co_await kept.kill();
  });
}

TEST_CASE("a write whose peer takes nothing is reset after its limit") {
  on_stage([](stage& s) -> task<> {
    seen last;
    const auto handle = [&](tcp_stream peer) -> task<> {
      const auto sent = co_await as_result(peer.write_all("abc", 1h));
      last.error = sent.error();
    };
    scripted_server server(s, handle, few_seconds());
    const int fd = co_await server.connect();
    co_await sleep(4s + confirmed - 1ns);
    CHECK(server.is_open(fd));
    const std::size_t before = s.engine.called(opcode::set_option, fd);
    co_await sleep(1ns);
    co_await settle();
    CHECK_FALSE(server.is_open(fd));
    CHECK(s.engine.called(opcode::set_option, fd) == before + 1);  // SO_LINGER
    CHECK(s.engine.called(opcode::shutdown, fd) == 0);
    CHECK(last.error == errc::closed);
    co_await server.stop();
    CHECK(server.result.timed_out_in_write == 1);
  });
}

TEST_CASE("a handler that repeats its writes with short limits gives its peer no more time") {
  on_stage([](stage& s) -> task<> {
    seen last;
    const auto handle = [&](tcp_stream peer) -> task<> {
      do {
        const auto sent = co_await as_result(peer.write_all("abc", 300ms));
        last.error = sent.error();
        co_await sleep(100ms);  // does not count
      } while (last.error == errc::timed_out);
    };
    scripted_server server(s, handle, few_seconds());
    const int fd = co_await server.connect();
    co_await sleep(4s + 13 * 100ms);
    CHECK(server.is_open(fd));
    co_await sleep(confirmed);
    co_await settle();
    CHECK_FALSE(server.is_open(fd));
    co_await sleep(1s);
    CHECK(last.error == errc::closed);
    co_await server.stop();
    CHECK(server.result.timed_out_in_write == 1);
  });
}

TEST_CASE("each part of a write gives the rest its limit again") {
  on_stage([](stage& s) -> task<> {
    const auto handle = [](tcp_stream peer) -> task<> { co_await peer.write_all("abcd"); };
    scripted_server server(s, handle, few_seconds());
    const int fd = co_await server.connect();
    for (int i = 0; i < 4; ++i) {
      co_await sleep(4s - 1ns);
      REQUIRE(server.is_open(fd));
      s.engine.complete(s.engine.oldest(opcode::send, fd), 1);
      co_await settle();
    }
    co_await server.stop();
    CHECK(server.result.finished == 1);
  });
}

TEST_CASE("a slow TCP peer is not late while it acknowledges bytes of a large write") {
  on_stage([](stage& s) -> task<> {
    std::uint64_t acknowledged = 0;
    const auto answer = [&](operation& asked) -> std::int32_t {
      if (asked.option.level != IPPROTO_TCP || asked.option.name != TCP_INFO) return -ENOPROTOOPT;
      tcp_info info{};
      info.tcpi_state = 1;
      info.tcpi_bytes_acked = acknowledged;
      std::memcpy(asked.data, &info, sizeof info);
      return 0;
    };
    const auto handle = [](tcp_stream peer) -> task<> { co_await peer.write_all("abcd"); };
    scripted_server server(s, handle, few_seconds());
    s.engine.answer(opcode::get_option, answer);
    const int fd = co_await server.connect();
    for (int i = 0; i < 10; ++i) {
      co_await sleep(3s);
      ++acknowledged;
    }
    CHECK(server.is_open(fd));
    co_await sleep(4s - 1ns);
    CHECK(server.is_open(fd));
    co_await sleep(1s + 1ns + confirmed);
    co_await settle();
    CHECK_FALSE(server.is_open(fd));
    co_await server.stop();
    CHECK(server.result.timed_out_in_write == 1);
  });
}

TEST_CASE("without limits a silent peer stays") {
  on_stage([](stage& s) -> task<> {
    server_limits limits;
    limits.first_byte_timeout = forever;
    limits.idle_timeout = forever;
    limits.write_stall_timeout = forever;
    const auto handle = [](tcp_stream peer) -> task<> {
      const buffer data = co_await peer.receive();
      co_await peer.write_all("abc");
    };
    scripted_server server(s, handle, limits);
    const int silent = co_await server.connect();
    const int stalled = co_await server.connect();
    co_await server.send(stalled, "x");
    co_await sleep(24h * 365);
    CHECK(server.is_open(silent));
    CHECK(server.is_open(stalled));
    limits.drain_timeout = 0s;
    co_await server.serving.kill();
    CHECK(server.control.report().cut_off == 2);
  });
}

TEST_CASE("a limit of the server does not end a call of another connection") {
  on_stage([](stage& s) -> task<> {
    scripted_server server(s, read_all, few_seconds());
    const int silent = co_await server.connect();
    co_await sleep(1s);
    const int busy = co_await server.connect();
    co_await server.send(busy, "x");
    co_await sleep(1s + confirmed);
    co_await settle();
    CHECK_FALSE(server.is_open(silent));
    CHECK(server.is_open(busy));
    co_await server.send(busy, "");
    CHECK_FALSE(server.is_open(busy));
    co_await server.stop();
    CHECK(server.result.finished == 1);
  });
}

TEST_CASE("a limit out of range is refused by its name") {
  server_limits limits;
  CHECK(message_of(limits).empty());
  limits.connections = 0;
  CHECK(message_of(limits) == "server_limits::connections is 0: at least 1");
  limits = {};
  limits.connections_per_peer = 0;
  CHECK(message_of(limits) == "server_limits::connections_per_peer is 0: at least 1");
  limits = {};
  limits.idle_timeout = 0s;
  CHECK(message_of(limits) ==
        "server_limits::idle_timeout is not more than 0: a duration of more than 0, or forever");
  limits = {};
  limits.first_byte_timeout = std::chrono::steady_clock::time_point(5s);
  CHECK(message_of(limits) ==
        "server_limits::first_byte_timeout is a point in time: a duration of more than 0, or "
        "forever");
  limits = {};
  limits.write_stall_timeout = -1s;
  CHECK(message_of(limits).find("write_stall_timeout") != std::string::npos);
  limits = {};
  limits.drain_timeout = 0s;
  CHECK(message_of(limits).empty());
}

TEST_SUITE_END();
