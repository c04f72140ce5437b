// traffic_watch: what a descriptor tells about its calls, and when it tells no more.
//
// Method: a scripted engine, and a watch that writes down what it is told.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/traffic_watch.hpp>
#include <ringlet/reader.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

struct recording_watch final : traffic_watch {
  explicit recording_watch(tcp_stream& on) { descriptor_access::of(on).set_watch(this); }

  void on_begin(direction which) noexcept override { add("begin ", which); }
  void on_progress(direction which) noexcept override { add("progress ", which); }
  void on_end(direction which, std::uint64_t bytes) noexcept override {
    add(("end " + std::to_string(bytes) + ' ').c_str(), which);
  }
  void on_gone() noexcept override { told += "gone, "; }
  void add(const char* what, direction which) {
    told += std::string(what) + (which == direction::read ? "read, " : "write, ");
  }
  std::string take() { return std::exchange(told, {}); }

  std::string told;
};

}  // namespace

TEST_SUITE_BEGIN("traffic_watch");

TEST_CASE(
    "each call tells its begin, and its end when it is cancelled, and a close that it is gone") {
  for (const byte_call& call : byte_calls) {
    if (!call.on_tcp()) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> {
      recording_watch watch(s.stream);
      const auto calling = spawn(call.outcome(s, forever));
      co_await settle();
      const bool reads = watch.told == "begin read, ";
      CHECK((reads || watch.told == "begin write, "));
      calling.request_kill();
      co_await calling.join();
      CHECK(watch.take() == (reads ? "begin read, end 0 read, " : "begin write, end 0 write, "));
      co_await s.stream.close();
      CHECK(watch.take() == "gone, ");
    });
  }
}

TEST_CASE("a watch hears of bytes at once if their call continues, otherwise when it ends") {
  on_stage([](stage& s) -> task<> {
    recording_watch watch(s.stream);
    std::array<std::byte, 3> three{};
    const auto exact = spawn([&]() -> task<> { co_await s.stream.read_exact(three); });
    co_await settle();
    s.engine.deliver(s.engine.oldest(opcode::recv), "ab");
    co_await settle();
    CHECK(watch.take() == "begin read, progress read, ");
    s.engine.deliver(s.engine.oldest(opcode::recv), "c");
    co_await exact.get();
    CHECK(watch.take() == "end 3 read, ");
    const auto writing = spawn([&]() -> task<> { co_await s.stream.write_all("xyz"); });
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::send), 2);
    co_await settle();
    CHECK(watch.take() == "begin write, progress write, ");
    s.engine.complete(s.engine.oldest(opcode::send), 1);
    co_await writing.get();
    CHECK(watch.take() == "end 3 write, ");
    const auto last = spawn([&]() -> task<> {
      const buffer none = co_await s.stream.receive();
      CHECK_FALSE(none);
    });
    co_await settle();
    s.engine.deliver(s.engine.oldest(opcode::receive), "");
    co_await last.get();
    CHECK(watch.take() == "begin read, end 3 read, ");
    co_await s.stream.close();
  });
}

TEST_CASE("a receive and a reader tell the bytes that they take") {
  on_stage([](stage& s) -> task<> {
    recording_watch watch(s.stream);
    const auto receiving = spawn([&]() -> task<> {
      const buffer data = co_await s.stream.receive();
      CHECK(data.text() == "x");
    });
    co_await settle();
    s.engine.deliver(s.engine.oldest(opcode::receive), "x");
    co_await receiving.get();
    CHECK(watch.take() == "begin read, end 1 read, ");
    reader in(s.stream, 100);
    const auto reading = spawn([&]() -> task<> {
      const auto line = co_await in.read_line();
      CHECK(line == "y");
    });
    co_await settle();
    s.engine.deliver(s.engine.oldest(opcode::receive), "y\n");
    co_await reading.get();
    CHECK(watch.take() == "begin read, progress read, end 3 read, ");
    co_await s.stream.close();
  });
}

TEST_CASE("a watch that was taken off, or whose stream was destroyed, is told no more") {
  on_stage([](stage& s) -> task<> {
    recording_watch watch(s.stream);
    descriptor_access::of(s.stream).set_watch(nullptr);
    const auto writing = spawn([&]() -> task<> { co_await s.stream.write_all("x"); });
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::send), 1);
    co_await writing.get();
    CHECK(watch.take().empty());
    recording_watch second(s.stream);
    s.stream = tcp_stream();
    CHECK(second.take() == "gone, ");
    CHECK(watch.take().empty());
  });
}

TEST_SUITE_END();
