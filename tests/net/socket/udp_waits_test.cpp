// The waits of udp_socket in every phase: before the start, in flight, completed and not yet
// delivered, cancelled, closed.
//
// Method: a scripted engine; no kernel takes part.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/udp_socket.hpp>

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <ostream>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/bytes.hpp"
#include "support/outcome.hpp"
#include "support/scripted_engine.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr int udp_fd = 9;
constexpr std::string_view closed = "closed by this program";

struct udp_stage {
  explicit udp_stage(scripted_engine& used) : engine(used) {}
  scripted_engine& engine;
  udp_socket socket{unique_fd(udp_fd)};
  std::array<std::byte, 3> memory{};
};

template <class F>
task<> on_new_udp_stage(scripted_engine& engine, F& body) {
  udp_stage made(engine);
  co_await body(made);
}

template <class F>
void on_udp_stage(F body, std::uint32_t buffers = 4) {
  scripted_engine engine(buffers, 64);
  detail::run_on(engine, beside_main(on_new_udp_stage(engine, body)), {},
                 std::source_location::current());
}

std::string say(const result<udp_datagram>& got) {
  if (!got) return got.error().message();
  return "'" + std::string(got->data.text()) + "' of " + std::to_string(got->size) +
         (got->is_truncated ? " (truncated)" : "");
}
std::string say(const result<received_udp>& got) {
  if (!got) return got.error().message();
  return std::to_string(got->size) + (got->is_truncated ? " (truncated)" : "");
}
std::string say(const result<void>& got) { return got ? "done" : got.error().message(); }

template <class Make>
task<std::string> words_of(Make make) {
  std::string words;
  try {
    const auto got = co_await as_result(make());
    words = say(got);
  } catch (const cancelled&) {
    words = "cancelled";
  }
  co_return co_await with_what_is_pending(words);
}

task<std::string> receive_words(udp_stage& s, time_limit timeout) {
  return words_of([&s, timeout] { return s.socket.receive(timeout); });
}
task<std::string> receive_into_words(udp_stage& s, time_limit timeout) {
  return words_of([&s, timeout] { return s.socket.receive_into(s.memory, timeout); });
}
task<std::string> send_words(udp_stage& s, time_limit timeout) {
  return words_of([&s, timeout] { return s.socket.send("abc", timeout); });
}
task<std::string> send_to_words(udp_stage& s, time_limit timeout) {
  return words_of(
      [&s, timeout] { return s.socket.send_to(address::loopback(4711), "abc", timeout); });
}
task<std::string> segments_words(udp_stage& s, time_limit timeout) {
  return words_of([&s, timeout] { return s.socket.send_segments(bytes("abc"), 2, timeout); });
}

struct udp_call {
  std::string_view name;
  opcode code;  // in flight while the call waits
  std::string_view success;
  task<std::string> (*words)(udp_stage&, time_limit);

  bool is_send() const noexcept { return code == opcode::poll; }
  // The send buffer of the socket is full, so that a send has to wait.
  void fill(udp_stage& s) const {
    if (is_send()) s.engine.answer(opcode::send_message, -EAGAIN);
  }
  operation& in_flight(udp_stage& s) const { return s.engine.oldest(code, udp_fd); }
  void complete(udp_stage& s) const {
    if (!is_send()) return s.engine.deliver(in_flight(s), "abc");
    s.engine.answer(opcode::send_message, 3);
    s.engine.complete(in_flight(s), POLLOUT);
  }
};

constexpr std::array udp_calls{
    udp_call{"receive", opcode::receive_datagram, "'abc' of 3", &receive_words},
    udp_call{"receive_into", opcode::receive_message, "3", &receive_into_words},
    udp_call{"send", opcode::poll, "done", &send_words},
    udp_call{"send_to", opcode::poll, "done", &send_to_words},
    udp_call{"send_segments", opcode::poll, "done", &segments_words},
};

template <class F>
void for_each_udp_call(F body) {
  for (const udp_call& call : udp_calls) {
    CAPTURE(call.name);
    on_udp_stage([&](udp_stage& s) -> task<> { return body(s, call); });
  }
}

}  // namespace

TEST_SUITE_BEGIN("udp_waits");

TEST_CASE("a call succeeds when its operation does") {
  for_each_udp_call([](udp_stage& s, const udp_call& call) -> task<> {
    call.fill(s);
    const auto fiber = spawn(call.words(s, forever));
    co_await settle();
    CHECK_FALSE(fiber.done());
    call.complete(s);
    const std::string words = co_await fiber.get();
    CHECK(words == call.success);
  });
}

TEST_CASE("a send that finds room does not wait") {
  for_each_udp_call([](udp_stage& s, const udp_call& call) -> task<> {
    if (!call.is_send()) co_return;
    s.engine.answer(opcode::send_message, 3);
    const std::string words = co_await call.words(s, forever);
    CHECK(words == "done");
    CHECK(s.engine.started(opcode::poll, udp_fd) == 0);
    CHECK(s.socket.bytes_written() == 3);
  });
}

TEST_CASE("a system error is returned unchanged, and the socket stays usable") {
  for_each_udp_call([](udp_stage& s, const udp_call& call) -> task<> {
    for (const int error : {ECONNREFUSED, EHOSTUNREACH, ENOMEM, EMSGSIZE}) {
      call.fill(s);
      const auto fiber = spawn(call.words(s, forever));
      co_await settle();
      if (call.is_send()) {
        s.engine.answer(opcode::send_message, -error);
        s.engine.complete(call.in_flight(s), POLLOUT);
      } else {
        s.engine.complete(call.in_flight(s), -error);
      }
      const std::string words = co_await fiber.get();
      CHECK(words == std::system_category().message(error));
    }
    call.fill(s);
    const auto again = spawn(call.words(s, forever));
    co_await settle();
    call.complete(s);
    const std::string words = co_await again.get();
    CHECK(words == call.success);
  });
}

TEST_CASE("a call whose time is over ends, and takes nothing") {
  for_each_udp_call([](udp_stage& s, const udp_call& call) -> task<> {
    call.fill(s);
    const std::string words = co_await call.words(s, 5ms);
    CHECK(words == make_error_code(errc::timed_out).message());
    const auto again = spawn(call.words(s, forever));
    co_await settle();
    call.complete(s);
    const std::string later = co_await again.get();
    CHECK(later == call.success);
  });
}

TEST_CASE("a killed call ends as cancelled, and loses nothing") {
  for_each_udp_call([](udp_stage& s, const udp_call& call) -> task<> {
    call.fill(s);
    const auto fiber = spawn(call.words(s, forever));
    co_await settle();
    fiber.request_kill();
    co_await settle();
    const std::string words = co_await fiber.get();
    CHECK(words == "cancelled");
    const auto again = spawn(call.words(s, forever));
    co_await settle();
    call.complete(s);
    const std::string later = co_await again.get();
    CHECK(later == call.success);
  });
}

TEST_CASE("a call that was killed before it began does nothing") {
  for_each_udp_call([](udp_stage& s, const udp_call& call) -> task<> {
    const auto fiber = spawn([&]() -> task<std::string> { return call.words(s, forever); });
    fiber.request_kill();
    co_await fiber.join();
    CHECK(fiber.result() == outcome::cancelled);
    CHECK(s.engine.started(call.code, udp_fd) == 0);
    CHECK(s.engine.called(opcode::send_message, udp_fd) == 0);
  });
}

TEST_CASE("success wins over a kill that comes while the operation is done and not delivered") {
  for_each_udp_call([](udp_stage& s, const udp_call& call) -> task<> {
    call.fill(s);
    const auto fiber = spawn(call.words(s, forever));
    co_await settle();
    call.complete(s);
    fiber.request_kill();
    const std::string words = co_await fiber.get();
    CHECK(words == std::string(call.success) + ", then cancelled");
  });
}

TEST_CASE("closing ends a call in flight, and refuses later ones") {
  for_each_udp_call([](udp_stage& s, const udp_call& call) -> task<> {
    call.fill(s);
    const auto fiber = spawn(call.words(s, forever));
    co_await settle();
    co_await s.socket.close();
    const std::string words = co_await fiber.get();
    CHECK(words == closed);
    const std::string later = co_await call.words(s, forever);
    CHECK(later == closed);
    CHECK(s.socket.native_handle() == -1);
  });
}

TEST_CASE("destroying the socket ends a call in flight") {
  for_each_udp_call([](udp_stage& s, const udp_call& call) -> task<> {
    call.fill(s);
    const auto fiber = spawn(call.words(s, forever));
    co_await settle();
    { const udp_socket dropped = std::move(s.socket); }
    const std::string words = co_await fiber.get();
    CHECK(words == closed);
  });
}

TEST_CASE("a second call in the same direction aborts") {
  for (const udp_call& call : udp_calls) {
    CAPTURE(call.name);
    const char* const rule =
        call.is_send() ? "a second write was begun" : "a second read was begun";
    CHECK(aborts_with(rule, [&] {
      on_udp_stage([&](udp_stage& s) -> task<> {
        call.fill(s);
        const auto first = spawn(call.words(s, forever));
        co_await settle();
        co_await call.words(s, forever);
      });
    }));
  }
}

TEST_CASE("one request receives many datagrams, and keeps those that no call waits for") {
  on_udp_stage([](udp_stage& s) -> task<> {
    const auto first = spawn(receive_words(s, forever));
    co_await settle();
    operation& request = s.engine.oldest(opcode::receive_datagram, udp_fd);
    s.engine.deliver(request, "one");
    s.engine.deliver(request, "two");
    const std::string one = co_await first.get();
    CHECK(one == "'one' of 3");
    const std::string two = co_await receive_words(s, forever);
    CHECK(two == "'two' of 3");
    CHECK(s.engine.started(opcode::receive_datagram, udp_fd) == 1);
    CHECK(s.socket.bytes_read() == 6);
  });
}

TEST_CASE("an empty datagram is a value, and the request that it ends is made again") {
  on_udp_stage([](udp_stage& s) -> task<> {
    for (int i = 0; i < 10; ++i) {
      const auto fiber = spawn(receive_words(s, forever));
      co_await settle();
      s.engine.deliver(s.engine.oldest(opcode::receive_datagram, udp_fd), "");
      const std::string words = co_await fiber.get();
      CHECK(words == "'' of 0");
    }
    CHECK(s.engine.started(opcode::receive_datagram, udp_fd) == 10);
    CHECK(s.engine.buffers_free() == 4);
  });
}

TEST_CASE("an empty datagram wins over a kill, too") {
  on_udp_stage([](udp_stage& s) -> task<> {
    for (const bool into : {false, true}) {
      const auto fiber =
          spawn(into ? &receive_into_words : &receive_words, std::ref(s), time_limit(forever));
      co_await settle();
      const opcode code = into ? opcode::receive_message : opcode::receive_datagram;
      s.engine.deliver(s.engine.oldest(code, udp_fd), "");
      fiber.request_kill();
      const std::string words = co_await fiber.get();
      CHECK(words == (into ? "0, then cancelled" : "'' of 0, then cancelled"));
    }
  });
}

TEST_CASE("a datagram that does not fit is truncated, and tells its size") {
  on_udp_stage([](udp_stage& s) -> task<> {
    const auto lent = spawn(receive_words(s, forever));
    co_await settle();
    s.engine.deliver(s.engine.oldest(opcode::receive_datagram, udp_fd), pattern(30));
    const std::string words = co_await lent.get();
    CHECK(words == "'" + pattern(20) + "' of 30 (truncated)");
  });
  on_udp_stage([](udp_stage& s) -> task<> {
    const auto into = spawn(receive_into_words(s, forever));
    co_await settle();
    s.engine.deliver(s.engine.oldest(opcode::receive_message, udp_fd), "abcdefgh");
    const std::string words = co_await into.get();
    CHECK(words == "8 (truncated)");
    CHECK(text(s.memory) == "abc");
    CHECK(s.socket.bytes_read() == 3);
  });
}

TEST_CASE(
    "receive_into() first takes what a receive() has left behind, and waits for its request") {
  on_udp_stage([](udp_stage& s) -> task<> {
    const auto first = spawn(receive_words(s, forever));
    co_await settle();
    operation& request = s.engine.oldest(opcode::receive_datagram, udp_fd);
    s.engine.deliver(request, "one");
    s.engine.deliver(request, "four");
    co_await first.join();
    const received_udp kept = co_await s.socket.receive_into(s.memory);
    CHECK(kept.size == 4);
    CHECK(kept.is_truncated);
    CHECK(kept.segment_size == 4);
    CHECK(kept.sender == address::loopback(4242));
    CHECK(text(s.memory) == "fou");
    const auto waiting = spawn(receive_into_words(s, forever));
    co_await settle();
    s.engine.deliver(request, "xyz");
    const std::string words = co_await waiting.get();
    CHECK(words == "3");
    CHECK(text(s.memory) == "xyz");
    CHECK(s.engine.started(opcode::receive_message, udp_fd) == 0);
  });
}

TEST_CASE("an error that no call waits for is the result of the next one, after the datagrams") {
  on_udp_stage([](udp_stage& s) -> task<> {
    const auto first = spawn(receive_words(s, forever));
    co_await settle();
    operation& request = s.engine.oldest(opcode::receive_datagram, udp_fd);
    s.engine.deliver(request, "one");
    s.engine.deliver(request, "two");
    s.engine.complete(request, -ECONNREFUSED);
    co_await first.join();
    co_await settle();
    const std::string two = co_await receive_words(s, forever);
    CHECK(two == "'two' of 3");
    const std::string refused = co_await receive_words(s, forever);
    CHECK(refused == std::system_category().message(ECONNREFUSED));
    const std::string waits = co_await receive_words(s, 1ms);
    CHECK(waits == make_error_code(errc::timed_out).message());
  });
}

TEST_CASE("a killed receive keeps an error that came with the kill") {
  on_udp_stage([](udp_stage& s) -> task<> {
    const auto fiber = spawn(receive_words(s, forever));
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::receive_datagram, udp_fd), -ECONNREFUSED);
    fiber.request_kill();
    const std::string words = co_await fiber.get();
    CHECK(words == "cancelled");
    const std::string next = co_await receive_words(s, forever);
    CHECK(next == std::system_category().message(ECONNREFUSED));
  });
}

TEST_CASE("without a free buffer a datagram comes in memory of its own") {
  on_udp_stage(
      [](udp_stage& s) -> task<> {
        std::vector<udp_datagram> held;
        const auto hold = [&s, &held]() -> task<> { held.push_back(co_await s.socket.receive()); };
        const auto first = spawn(hold);
        co_await settle();
        s.engine.deliver(s.engine.oldest(opcode::receive_datagram, udp_fd), "one");
        co_await first.join();
        REQUIRE(s.engine.buffers_free() == 0);
        s.engine.answer(opcode::receive_message, [](operation& op) {
          auto& message = *static_cast<msghdr*>(op.data);
          const address from = address::loopback(7);
          std::memcpy(message.msg_name, from.data(), from.size());
          std::memcpy(message.msg_iov->iov_base, "private", 7);
          return 7;
        });
        const auto second = spawn(hold);
        co_await settle();
        s.engine.deliver(s.engine.oldest(opcode::receive_datagram, udp_fd), "lost if taken");
        co_await second.join();
        REQUIRE(held.size() == 2);
        CHECK(held[1].data.text() == "private");
        CHECK(held[1].size == 7);
        CHECK(held[1].sender == address::loopback(7));
        CHECK_FALSE(held[1].is_truncated);
        // A request that finds nothing waits without a buffer.
        s.engine.answer(opcode::receive_message, -EAGAIN);
        const auto third = spawn(receive_words(s, forever));
        co_await settle();
        s.engine.deliver(s.engine.oldest(opcode::receive_datagram, udp_fd), "x");
        co_await settle();
        CHECK_FALSE(third.done());
        CHECK(s.engine.oldest(opcode::receive_datagram, udp_fd).poll_first);
        held.clear();
        s.engine.deliver(s.engine.oldest(opcode::receive_datagram, udp_fd), "x");
        const std::string words = co_await third.get();
        CHECK(words == "'x' of 1");
      },
      1);
}

TEST_CASE("without any memory a receive fails, and the next one works") {
  if (!allocations_are_counted()) return;
  on_udp_stage(
      [](udp_stage& s) -> task<> {
        std::vector<udp_datagram> held;
        held.reserve(2);
        const auto first = spawn([&]() -> task<> { held.push_back(co_await s.socket.receive()); });
        co_await settle();
        s.engine.deliver(s.engine.oldest(opcode::receive_datagram, udp_fd), "one");
        co_await first.join();
        const auto second = spawn([&]() -> task<bool> {
          const auto got = co_await as_result(s.socket.receive());
          co_return got.error() == std::errc::not_enough_memory;
        });
        co_await settle();
        s.engine.deliver(s.engine.oldest(opcode::receive_datagram, udp_fd), "two");
        {
          const out_of_memory shortage;
          co_await second.join();
        }
        const bool failed = co_await second.get();
        CHECK(failed);
        held.clear();
        const auto third = spawn(receive_words(s, forever));
        co_await settle();
        s.engine.deliver(s.engine.oldest(opcode::receive_datagram, udp_fd), "two");
        const std::string later = co_await third.get();
        CHECK(later == "'two' of 3");
      },
      1);
}

TEST_CASE("calls do not allocate") {
  if (!allocations_are_counted()) return;
  on_udp_stage([](udp_stage& s) -> task<> {
    const auto fiber = spawn([&]() -> task<std::size_t> {
      const auto before = allocations();
      const udp_datagram got = co_await s.socket.receive();
      co_await s.socket.send_to(got.sender, got.data);
      const auto after = allocations();
      co_return after - before;
    });
    co_await settle();
    const auto before = allocations();
    s.engine.deliver(s.engine.oldest(opcode::receive_datagram, udp_fd), "abc");
    const auto by_the_script = allocations() - before;
    const std::size_t counted = co_await fiber.get();
    CHECK(counted <= by_the_script + 2);  // of the scripted engine's record
  });
}

TEST_CASE("readable() waits for a datagram and takes nothing") {
  on_udp_stage([](udp_stage& s) -> task<> {
    const auto fiber = spawn([&]() -> task<bool> { co_return co_await s.socket.readable(); });
    co_await settle();
    CHECK_FALSE(fiber.done());
    s.engine.deliver(s.engine.oldest(opcode::receive_datagram, udp_fd), "abc");
    const bool came = co_await fiber.get();
    CHECK(came);
    const bool again = co_await s.socket.readable();
    CHECK(again);
    const std::string words = co_await receive_words(s, forever);
    CHECK(words == "'abc' of 3");
    const bool late = co_await s.socket.readable(1ms);
    CHECK_FALSE(late);
  });
}

TEST_CASE("segments are split by the kernel, up to 64 per call") {
  on_udp_stage([](udp_stage& s) -> task<> {
    std::vector<std::size_t> sizes;
    s.engine.answer(opcode::send_message, [&](operation& op) {
      auto& message = *static_cast<msghdr*>(op.data);
      const cmsghdr* const one = CMSG_FIRSTHDR(&message);
      sizes.push_back(message.msg_iov->iov_len);
      const bool is_single = message.msg_iov->iov_len <= 10;
      CHECK((one == nullptr) == is_single);
      if (one != nullptr) CHECK(one->cmsg_type == UDP_SEGMENT);
      return static_cast<std::int32_t>(message.msg_iov->iov_len);
    });
    const std::string all = pattern(1285);
    co_await s.socket.send_segments(bytes(all), 10);
    CHECK(sizes == std::vector<std::size_t>{640, 640, 5});
    CHECK(s.socket.bytes_written() == 1285);
    sizes.clear();
    co_await s.socket.send_segments({}, 10);
    CHECK(sizes.empty());
  });
}

TEST_CASE("segments go one by one where the kernel cannot split, or the route") {
  for (const bool old_kernel : {false, true}) {
    CAPTURE(old_kernel);
    on_udp_stage([&](udp_stage& s) -> task<> {
      if (old_kernel) s.engine.answer(opcode::get_option, -ENOPROTOOPT);
      std::vector<std::size_t> sizes;
      s.engine.answer(opcode::send_message, [&](operation& op) {
        auto& message = *static_cast<msghdr*>(op.data);
        if (message.msg_control != nullptr) {
          CHECK_FALSE(old_kernel);
          return -EIO;
        }
        sizes.push_back(message.msg_iov->iov_len);
        return static_cast<std::int32_t>(message.msg_iov->iov_len);
      });
      const std::string all = pattern(25);
      co_await s.socket.send_segments_to(address::loopback(1), bytes(all), 10);
      CHECK(sizes == std::vector<std::size_t>{10, 10, 5});
    });
  }
}

TEST_CASE("segments wait for room between two calls, and a kill then sends no more") {
  on_udp_stage([](udp_stage& s) -> task<> {
    s.engine.answer(opcode::get_option, -ENOPROTOOPT);
    int left = 1;
    s.engine.answer(opcode::send_message, [&](operation&) { return left-- > 0 ? 2 : -EAGAIN; });
    const auto fiber = spawn(segments_words(s, forever));
    co_await settle();
    CHECK(s.socket.bytes_written() == 2);
    fiber.request_kill();
    const std::string words = co_await fiber.get();
    CHECK(words == "cancelled");
    CHECK(s.socket.bytes_written() == 2);
    s.engine.answer(opcode::send_message, 3);
    const std::string next = co_await send_words(s, forever);
    CHECK(next == "done");
  });
}

TEST_CASE("a segment size out of range is refused") {
  on_udp_stage([](udp_stage& s) -> task<> {
    CHECK_THROWS_AS(static_cast<void>(s.socket.send_segments(bytes("abc"), 0)),
                    std::invalid_argument);
    CHECK_THROWS_AS(static_cast<void>(s.socket.send_segments(bytes("abc"), 65'508)),
                    std::invalid_argument);
    co_return;
  });
}

TEST_CASE("coalesced datagrams tell the size of each, and need receive_into()") {
  on_udp_stage([](udp_stage& s) -> task<> {
    CHECK(s.socket.set_coalescing(true));
    const auto fiber =
        spawn([&]() -> task<received_udp> { co_return co_await s.socket.receive_into(s.memory); });
    co_await settle();
    operation& request = s.engine.oldest(opcode::receive_message, udp_fd);
    s.engine.deliver(request, "abc");
    auto& message = *static_cast<msghdr*>(request.data);
    const int size = 2;
    message.msg_controllen = CMSG_SPACE(sizeof size);
    cmsghdr* const one = CMSG_FIRSTHDR(&message);
    one->cmsg_level = IPPROTO_UDP;
    one->cmsg_type = UDP_GRO;
    one->cmsg_len = CMSG_LEN(sizeof size);
    std::memcpy(CMSG_DATA(one), &size, sizeof size);
    const received_udp got = co_await fiber.get();
    CHECK(got.size == 3);
    CHECK(got.segment_size == 2);
    s.engine.answer(opcode::set_option, -ENOPROTOOPT);
    CHECK_FALSE(s.socket.set_coalescing(true));
  });
  CHECK(aborts_with("receive() on a socket that coalesces", [] {
    on_udp_stage([](udp_stage& s) -> task<> {
      s.socket.set_coalescing(true);
      co_await s.socket.receive();
    });
  }));
}

TEST_CASE("a socket that was moved from aborts") {
  CHECK(aborts_with("a UDP socket that was moved from was used", [] {
    on_udp_stage([](udp_stage& s) -> task<> {
      const udp_socket moved = std::move(s.socket);
      co_await s.socket.send("x");
    });
  }));
}

TEST_SUITE_END();
