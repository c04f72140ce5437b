// greenlet<T>: how exceptions propagate, thrown into a greenlet or out of it, and greenlet_exit.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/greenlet.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "greenlet_bodies.hpp"
#include "sched/throws.hpp"
#include "support/aborts.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("greenlet: errors");

// rows: W36 GR-04
TEST_CASE("an exception that ends a greenlet is thrown by its parent's switch") {
  in_fiber([]() -> task<> {
    const greenlet<int> failing(fail_with, "from the child");
    bool seen_by_switcher = false;
    const greenlet<int> switcher([&](int n) -> task<int> {
      const std::string what = co_await told(failing.switch_to(n));
      seen_by_switcher = true;
      co_return 0;
    });
    const std::string what = co_await told(switcher.switch_to(1));
    CHECK(what == "from the child");
    CHECK_FALSE(seen_by_switcher);
    CHECK(failing.state() == greenlet_state::finished);
    CHECK(switcher.state() == greenlet_state::suspended);
  });
}

// row: GR-04
TEST_CASE("an exception skips parents that have ended, and ends those that have not begun") {
  in_fiber([]() -> task<> {
    const greenlet<int> finished(plus_one);
    co_await finished.switch_to(1);
    const greenlet<int> unstarted(plus_one);
    unstarted.set_parent(finished);
    const greenlet<int> failing(fail_with, "far down");
    failing.set_parent(unstarted);
    const std::string what = co_await told(failing.switch_to(1));
    CHECK(what == "far down");
    CHECK(unstarted.state() == greenlet_state::finished);
  });
}

// row: GR-04
TEST_CASE("a body that throws before its coroutine begins fails in the same way") {
  in_fiber([]() -> task<> {
    const auto refuse = [](int n) -> task<int> {
      if (n == 1) throw std::runtime_error("no task was made");
      return plus_one(n);
    };
    const greenlet<int> refusing(refuse);
    const std::string what = co_await told(refusing.switch_to(1));
    CHECK(what == "no task was made");
  });
}

// row: GR-05
TEST_CASE("greenlet_exit is not a failure: the parent's switch ends with errc::fiber_cancelled") {
  in_fiber([]() -> task<> {
    const greenlet<int> asked(echo);
    co_await asked.switch_to(1);
    const std::string what = co_await told(asked.throw_into(greenlet_exit()));
    CHECK(what == "fiber_cancelled");
    CHECK(asked.state() == greenlet_state::finished);

    const greenlet<int> leaving([](int) -> task<int> {
      throw greenlet_exit();
      co_return 0;
    });
    const result<int> left = co_await as_result(leaving.switch_to(1));
    CHECK(left.error() == errc::fiber_cancelled);
    CHECK(leaving.state() == greenlet_state::finished);
  });
}

TEST_CASE("an exception that a greenlet passes to its parent is thrown only once there" *
          doctest::skip(!counts_throws)) {
  in_fiber([]() -> task<> {
    const greenlet<int> unstarted(echo);
    std::uint64_t before = throws_so_far();
    const result<int> left = co_await as_result(unstarted.throw_into(greenlet_exit()));
    const std::uint64_t for_exit = throws_so_far() - before;
    CHECK(left.error() == errc::fiber_cancelled);
    CHECK(for_exit == 0);
    const greenlet<int> second(echo);
    before = throws_so_far();
    const result<int> failed = co_await as_result(
        second.throw_into(std::system_error(std::make_error_code(std::errc::io_error))));
    const std::uint64_t for_error = throws_so_far() - before;
    CHECK(failed.error() == std::errc::io_error);
    CHECK(for_error == 1);
  });
}

// row: GR-05
TEST_CASE("a greenlet that catches greenlet_exit may return a value instead") {
  in_fiber([]() -> task<> {
    const greenlet<int> stubborn([](int n) -> task<int> {
      const std::string what = co_await told(greenlet<int>::main().switch_to(n));
      CHECK(what == "greenlet_exit");
      co_return 7;
    });
    co_await stubborn.switch_to(1);
    const int back = co_await stubborn.throw_into(greenlet_exit());
    CHECK(back == 7);
  });
}

TEST_CASE("as_result of a switch is the value, or the system error that was thrown") {
  in_fiber([]() -> task<> {
    const greenlet<int> good(plus_one);
    const result<int> value = co_await as_result(good.switch_to(1));
    CHECK(*value == 2);
    const greenlet<> quiet([]() -> task<> { co_return; });
    const result<void> nothing = co_await as_result(quiet.switch_to());
    CHECK(nothing.has_value());
    const greenlet<int> reset([](int) -> task<int> {
      throw std::system_error(std::make_error_code(std::errc::connection_reset));
      co_return 0;
    });
    const result<int> error = co_await as_result(reset.switch_to(1));
    CHECK(error.error() == std::errc::connection_reset);
    const greenlet<int> failing(fail_with, "not a system error");
    CHECK_THROWS_WITH((void)co_await as_result(failing.switch_to(1)), "not a system error");
  });
}

// row: GR-06
TEST_CASE("an exception is thrown where the greenlet is suspended, and the greenlet may continue") {
  in_fiber([]() -> task<> {
    const greenlet<int> patient([](int n) -> task<int> {
      std::string what = "nothing";
      try {
        co_await send_to_main(n);  // from a nested call
      } catch (const std::runtime_error& error) {
        what = error.what();
      }
      CHECK(what == "thrown in");
      n = co_await send_to_main(2);
      co_return n + 1;
    });
    co_await patient.switch_to(1);
    const int back = co_await patient.throw_into(std::runtime_error("thrown in"));
    CHECK(back == 2);
    const int last = co_await patient.switch_to(3);
    CHECK(last == 4);
  });
}

// row: GR-06
TEST_CASE("an exception that a greenlet does not catch ends it, and reaches its parent") {
  life_count lives;
  in_fiber([&]() -> task<> {
    const greenlet<int> other([&lives](int n) -> task<int> {
      const counted local(lives);
      co_return co_await send_to_main(n);
    });
    co_await other.switch_to(1);
    CHECK(lives.alive() == 1);
    const auto error = std::make_exception_ptr(std::runtime_error("through it"));
    const std::string what = co_await told(other.throw_into(error));
    CHECK(what == "through it");
    CHECK(lives.alive() == 0);
  });
}

// rows: W37 GR-06
TEST_CASE("an exception thrown into a greenlet that has not begun ends it without running it") {
  life_count lives;
  in_fiber([&]() -> task<> {
    bool ran = false;
    const auto body = [&ran](const counted&, int n) -> task<int> {
      ran = true;
      co_return n;
    };
    const greenlet<int> failed(body, counted(lives));
    const std::string what = co_await told(failed.throw_into(std::logic_error("at the start")));
    CHECK(what == "at the start");
    CHECK(failed.state() == greenlet_state::finished);
    CHECK(lives.alive() == 0);
    const greenlet<int> asked(body, counted(lives));
    const std::string left = co_await told(asked.throw_into());
    CHECK(left == "fiber_cancelled");
    CHECK(asked.state() == greenlet_state::finished);
    CHECK_FALSE(ran);
  });
}

// row: GR-06
TEST_CASE("an exception thrown into an ended greenlet goes to the nearest living parent") {
  in_fiber([]() -> task<> {
    const greenlet<int> finished(plus_one);
    co_await finished.switch_to(1);
    const std::string what = co_await told(finished.throw_into(std::logic_error("too late")));
    CHECK(what == "too late");
    const std::string left = co_await told(finished.throw_into());
    CHECK(left == "fiber_cancelled");
  });
}

// row: GR-06
TEST_CASE("an exception thrown into oneself is thrown at once") {
  in_fiber([]() -> task<> {
    const auto me = greenlet<int>::current();
    const std::string what = co_await told(me.throw_into(std::logic_error("to myself")));
    CHECK(what == "to myself");
    const std::string asked = co_await told(me.throw_into());
    CHECK(asked == "greenlet_exit");
  });
}

// row: GR-06
TEST_CASE("throwing a null exception, and using an empty greenlet, abort") {
  CHECK(aborts_with("throw_into() was given no exception", [] {
    in_fiber([]() -> task<> {
      const greenlet<int> other(echo);
      co_await other.throw_into(std::exception_ptr());
    });
  }));
  constexpr auto empty = "an empty greenlet (moved from, or none) was used";
  CHECK(aborts_with(empty, [] { (void)greenlet_ref<>().state(); }));
  CHECK(aborts_with(empty, [] {
    in_fiber([]() -> task<> {
      greenlet<int> first(echo);
      const greenlet<int> second = std::move(first);
      co_await first.switch_to(1);
    });
  }));
}

// row: GR-20
TEST_CASE("exceptions caught inside a greenlet are not seen outside") {
  in_fiber([]() -> task<> {
    const greenlet<int> careful([](int n) -> task<int> {
      for (;;) {
        try {
          if (n % 2 == 0) throw n;
        } catch (int thrown) {
          n = thrown + 1;
        }
        n = co_await greenlet<int>::main().switch_to(n);
      }
    });
    for (int i = 0; i < 10; ++i) {
      const int odd = co_await careful.switch_to(i);
      CHECK(odd == (i | 1));
    }
  });
}

TEST_SUITE_END();
