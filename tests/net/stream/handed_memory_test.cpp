// Memory that a read or write passes to the kernel, whose accesses AddressSanitizer does not see:
// the program aborts where the call begins if that memory may not be used.
//
// Method: blocks that were freed before the co_await, in a child process on each real engine; and
// on the scripted engine a block that is freed between two requests of one call.
// SPDX-License-Identifier: MIT
#include <ringlet/reader.hpp>
#include <ringlet/run.hpp>

#include <doctest/doctest.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "support/child.hpp"
#include "support/engines.hpp"
#include "support/loopback.hpp"
#include "support/poison.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

constexpr std::size_t block_size = 64;

// The bytes of a freed block. Its address goes through a volatile number, or g++ would detect the
// use and refuse to compile.
std::span<std::byte> freed_block() {
  auto block = std::make_unique<std::byte[]>(block_size);
  const volatile auto address = reinterpret_cast<std::uintptr_t>(block.get());
  block.reset();
  return {reinterpret_cast<std::byte*>(address), block_size};
}

bool names_rule_and_place(const child_end& end) {
  const std::string_view rule = "the memory of a read or write may not be used: it was freed";
  if (end.signal == SIGABRT && end.errors.find(rule) != std::string::npos &&
      end.errors.find("\"caller\", at ") != std::string::npos &&
      end.errors.find("handed_memory_test.cpp:") != std::string::npos) {
    return true;
  }
  describe_unexpected(end, rule);
  return false;
}

// Whether that call on a connected stream and a standard stream aborts the program, on each engine.
template <class F>
void check_refused(F call) {
  for_each_kernel_engine([&](const engine_maker& make) {
    CHECK(names_rule_and_place(run_in_child([&] {
      const auto engine = make();
      const auto body = [&]() -> task<> {
        auto pair = co_await half_raw_pair();
        standard_stream file(pair.raw.get());
        const auto caller = spawn(call(pair.stream, file));
        caller.set_name("caller");
        co_await caller.get();
      };
      detail::run_on(*engine, body(), {}, std::source_location::current());
    })));
  });
}

}  // namespace

TEST_SUITE_BEGIN("handed memory" * doctest::skip(!sees_poison));

TEST_CASE("writing from a freed block aborts where write_all is awaited") {
  check_refused([](tcp_stream& stream, standard_stream&) -> task<> {
    const auto gone = freed_block();
    co_await stream.write_all(gone);
  });
}

TEST_CASE("one freed part of several aborts where write_all is awaited") {
  check_refused([](tcp_stream& stream, standard_stream&) -> task<> {
    const std::array<std::span<const std::byte>, 2> parts{bytes("alive"), freed_block()};
    co_await stream.write_all(parts);
  });
}

TEST_CASE("reading into a freed block aborts where read_some is awaited") {
  check_refused([](tcp_stream& stream, standard_stream&) -> task<> {
    const auto gone = freed_block();
    co_await stream.read_some(gone);
  });
}

TEST_CASE("reading into a freed block aborts where read_exact is awaited") {
  check_refused([](tcp_stream& stream, standard_stream&) -> task<> {
    const auto gone = freed_block();
    co_await stream.read_exact(gone);
  });
}

TEST_CASE("using a freed block aborts on standard streams, too") {
  check_refused([](tcp_stream&, standard_stream& file) -> task<> {
    const auto gone = freed_block();
    co_await file.write_all(gone);
  });
  check_refused([](tcp_stream&, standard_stream& file) -> task<> {
    const auto gone = freed_block();
    co_await file.read_some(gone);
  });
}

TEST_CASE("memory that another read is filling aborts the call that uses it again") {
  check_refused([](tcp_stream& stream, standard_stream& file) -> task<> {
    static std::array<std::byte, block_size> memory;
    const auto first = spawn([](tcp_stream& from) -> task<> { co_await from.read_exact(memory); },
                             std::ref(stream));
    co_await sleep(std::chrono::nanoseconds(0));
    co_await file.write_all(memory);
  });
}

TEST_CASE("a block that is freed between two requests of one call aborts and names the fiber") {
  CHECK(names_rule_and_place(run_in_child([] {
    on_stage([](stage& s) -> task<> {
      auto block = std::make_unique<std::array<std::byte, block_size>>();
      const auto caller =
          spawn([](tcp_stream& to,
                   std::span<const std::byte> text) -> task<> { co_await to.write_all(text); },
                std::ref(s.stream), std::span<const std::byte>(*block));
      caller.set_name("caller");
      co_await settle();
      block.reset();
      s.engine.complete(s.engine.oldest(opcode::send), 10);
      co_await caller.get();
    });
  })));
}

TEST_SUITE_END();
