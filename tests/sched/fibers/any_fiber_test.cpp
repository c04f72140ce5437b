// any_fiber: the handle that a fiber gets of itself and passes on.
// SPDX-License-Identifier: MIT
#include <ringlet/any_fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

#include "sched/calls.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<std::string> tell_and_sleep(any_fiber& self) {
  self = current_fiber();
  co_await sleep(1h);
  co_return "slept";
}

}  // namespace

TEST_CASE("current_fiber() returns a handle of the running fiber") {
  run_scripted([](scripted_engine&) -> task<> {
    any_fiber self;
    CHECK(!self);
    const fiber<std::string> known = spawn(tell_and_sleep, std::ref(self));
    co_await yield();
    CHECK(self);
    CHECK(self == known);
    CHECK(self.id() == known.id());
    CHECK(self != current_fiber());
    self.set_name("sleeper");
    CHECK(known.name() == "sleeper");
    CHECK(!self.done());
    CHECK(co_await self.join());
    CHECK(self.result() == outcome::value);
    CHECK(co_await known.get() == "slept");
  });
}

TEST_CASE("a fiber can be killed through the handle that it gave to other fibers") {
  run_scripted([](scripted_engine&) -> task<> {
    any_fiber self;
    const fiber<std::string> first = spawn(tell_and_sleep, std::ref(self));
    co_await yield();
    CHECK(co_await self.kill());
    CHECK(first.result() == outcome::cancelled);
    const fiber<std::string> second = spawn(tell_and_sleep, std::ref(self));
    co_await yield();
    CHECK(co_await self.kill(std::make_exception_ptr(std::runtime_error("enough"))));
    CHECK(self.result() == outcome::error);
    CHECK(self.error() == second.error());
    const fiber<std::string> third = spawn(tell_and_sleep, std::ref(self));
    co_await yield();
    self.request_kill();
    CHECK_FALSE(self.done());
    CHECK(co_await self.join());
    CHECK(third.result() == outcome::cancelled);
  });
}

TEST_CASE("an any_fiber keeps a fiber's outcome, even after run()") {
  any_fiber kept;
  run_scripted([&kept](scripted_engine&) -> task<> {
    kept = spawn([]() -> task<> { co_return; });
    kept.set_name("short");
    CHECK(co_await kept.join());
  });
  any_fiber copy = kept;
  any_fiber moved = std::move(kept);
  CHECK(copy == moved);
  CHECK(copy.name() == "short");
  CHECK(copy.done());
}

TEST_CASE("using an empty any_fiber, or current_fiber() outside of a fiber, aborts") {
  CHECK(aborts_with("an empty fiber handle was used", [] { any_fiber().request_kill(); }));
  CHECK(aborts_with("was made outside of run()", [] { (void)current_fiber(); }));
}
