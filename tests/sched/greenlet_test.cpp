#include <ringlet/greenlet.hpp>
#include <doctest/doctest.h>
#include "scripted_run.hpp"
using namespace ringlet;
using namespace ringlet::test;
TEST_CASE("smoke") {
  scripted_engine engine;
  int got = 0;
  run_on(engine, [](int& out) -> task<> {
    greenlet<int> doubler([](int n) -> task<int> {
      for (;;) n = co_await greenlet<int>::current().parent().switch_to(2 * n);
    });
    out = co_await doubler.switch_to(2);
    out += co_await doubler.switch_to(out);
  }(got));
  CHECK(got == 12);
}
