// Forms of expressions with co_await that every compiler except g++ before 13 gets right. The forms
// that g++ 12 gets wrong are pinned here, too; docs/compilers.md says how to write them instead.
//
// Method: each form runs in a child, twice, with strings on the heap, so that a temporary that is
// destroyed twice ends the child. Under a sanitizer, which finds other errors first, a miscompiled
// form has no defined result, so it does not run there.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/when_all.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <csignal>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#define RINGLET_OLD_COMPILER 1
#else
#define RINGLET_OLD_COMPILER 0
#endif

namespace {

const std::string L = "a long string that does not fit the small buffer";

// Conditions that never hold, in a way that no compiler detects.
void expect(bool holds) {
  if (!holds) throw std::logic_error("a form has given a wrong value");
}

task<std::size_t> len(std::string_view s) {
  co_await yield();
  co_return s.size();
}
task<std::size_t> lens(std::string s) {
  co_await yield();
  co_return s.size();
}
task<std::size_t> lenr(const std::string& s) {
  co_await yield();
  co_return s.size();
}
task<std::size_t> vec(std::vector<std::string> v) {
  co_await yield();
  co_return v.size();
}
#if !RINGLET_OLD_COMPILER
task<std::size_t> vecr(const std::vector<std::string>& v) {
  co_await yield();
  co_return v.size();
}
#endif
task<std::size_t> opt(std::optional<std::string> v) {
  co_await yield();
  co_return v ? v->size() : 0;
}
task<int> fun(std::function<int()> f) {
  co_await yield();
  co_return f();
}
task<std::string> str(int n) {
  co_await yield();
  co_return L + std::to_string(n);
}
task<std::vector<std::string>> strs() {
  co_await yield();
  std::vector<std::string> all{L, L};
  co_return all;
}
struct agg {
  std::string a;
  int b = 0;
};
task<std::size_t> aggf(agg x) {
  co_await yield();
  co_return x.a.size();
}

task<> form_tern_sv(int n) {
  co_await len(n > 1 ? std::string("x") : L + "y");
  (void)n;
  co_return;
}
task<> form_tern_val(int n) {
  co_await lens(n > 1 ? std::string("x") : L + "y");
  (void)n;
  co_return;
}
task<> form_tern_ref(int n) {
  co_await lenr(n > 1 ? std::string("x") : L + "y");
  (void)n;
  co_return;
}
task<> form_tern_lvalues(int n) {
  std::string a = L, b = L;
  co_await lenr(n > 1 ? a : b);
  (void)n;
  co_return;
}
task<> form_tern_lvalue_temp(int n) {
  std::string a = L;
  co_await len(n > 1 ? a : L + "z");
  (void)n;
  co_return;
}
task<> form_tern_tasks(int n) {
  co_await (n > 1 ? len(L) : lens(L));
  (void)n;
  co_return;
}
task<> form_tern_of_awaits(int n) {
  std::string s = n > 1 ? co_await str(1) : std::string("none");
  expect(!(s.empty()));
  (void)n;
  co_return;
}
task<> form_tern_of_awaits2(int n) {
  std::string s = n > 1 ? co_await str(1) : co_await str(2);
  expect(!(s.empty()));
  (void)n;
  co_return;
}
task<> form_temp_concat(int n) {
  co_await len(L + std::to_string(n));
  (void)n;
  co_return;
}
task<> form_temp_val(int n) {
  co_await lens(L + std::to_string(n));
  (void)n;
  co_return;
}
#if !RINGLET_OLD_COMPILER  // array used as initializer
task<> form_vec_braces(int n) {
  co_await vec({L, L});
  (void)n;
  co_return;
}
#endif
#if !RINGLET_OLD_COMPILER  // array used as initializer
task<> form_vec_explicit(int n) {
  co_await vec(std::vector<std::string>{L, L});
  (void)n;
  co_return;
}
#endif
#if !RINGLET_OLD_COMPILER  // array used as initializer
task<> form_vec_ref_braces(int n) {
  co_await vecr({L, L});
  (void)n;
  co_return;
}
#endif
task<> form_vec_n(int n) {
  co_await vec(std::vector<std::string>(3, L));
  (void)n;
  co_return;
}
task<> form_opt(int n) {
  co_await opt(L + "x");
  (void)n;
  co_return;
}
task<> form_opt_explicit(int n) {
  co_await opt(std::optional<std::string>(L));
  (void)n;
  co_return;
}
task<> form_function_lambda(int n) {
  std::string c = L;
  co_await fun([c] { return (int)c.size(); });
  (void)n;
  co_return;
}
task<> form_agg_braces(int n) {
  co_await aggf({L, 1});
  (void)n;
  co_return;
}
task<> form_agg_named(int n) {
  co_await aggf(agg{.a = L, .b = 0});
  (void)n;
  co_return;
}
task<> form_agg_named_tmp(int n) {
  co_await aggf(agg{L + "x", 2});
  (void)n;
  co_return;
}
task<> form_range_for(int n) {
  for (const auto& s : co_await strs()) expect(!(s.empty()));
  (void)n;
  co_return;
}
task<> form_switch(int n) {
  switch (co_await len(L + "q")) {
    case 0:
      expect(false);
      break;
    default:
      break;
  }
  (void)n;
  co_return;
}
task<> form_two_args(int n) {
  auto p = std::make_pair(co_await str(1), co_await str(2));
  expect(!(p.first.empty()));
  (void)n;
  co_return;
}
task<> form_concat_await(int n) {
  std::string s = L + co_await str(1) + (co_await str(2));
  expect(!(s.empty()));
  (void)n;
  co_return;
}
task<> form_and_await(int n) {
  if (n > 0 && co_await len(L + "x") > 3) expect(true);
  (void)n;
  co_return;
}
task<> form_or_await(int n) {
  bool b = n > 100 || (co_await str(3)).size() > 3;
  expect(!(!b));
  (void)n;
  co_return;
}
task<> form_throw_await(int n) {
  try {
    throw std::runtime_error(co_await str(1));
  } catch (const std::exception&) {
  }
  (void)n;
  co_return;
}
task<> form_map_index(int n) {
  std::map<std::string, std::string> m;
  m[L + "k"] = co_await str(1);
  (void)n;
  co_return;
}
task<> form_map_emplace(int n) {
  std::map<std::string, std::string> m;
  m.emplace(L + "k", co_await str(1));
  (void)n;
  co_return;
}
task<> form_nested(int n) {
  co_await len(co_await str(static_cast<int>(co_await len(L + "x"))));
  (void)n;
  co_return;
}
task<> form_value_or(int n) {
  std::optional<std::string> o;
  co_await len(o.value_or(L));
  (void)n;
  co_return;
}
task<> form_init_if(int n) {
  if (auto s = co_await str(1); !s.empty()) co_await len(s + "x");
  (void)n;
  co_return;
}
task<> form_while_cond(int n) {
  int i = 0;
  while ((co_await str(i)).size() > 3 && ++i < 3) co_await yield();
  (void)n;
  co_return;
}
task<> form_co_return_tern(int n) {
  auto f = [](int k) -> task<std::string> {
    co_await yield();
    co_return k > 1 ? std::string("x") : L;
  };
  co_await len(co_await f(n));
  (void)n;
  co_return;
}
task<> form_co_return_tern_await(int n) {
  auto f = [](int k) -> task<std::string> { co_return k > 1 ? co_await str(1) : L; };
  co_await len(co_await f(n));
  (void)n;
  co_return;
}
task<> form_default_arg(int n) {
  auto f = [](std::string a, std::string b = L) -> task<> {
    co_await yield();
    if (a.size() == b.size()) expect(true);
  };
  co_await f(L + "t");
  (void)n;
  co_return;
}
task<> form_shared_ptr(int n) {
  auto f = [](std::shared_ptr<std::string> p) -> task<> {
    co_await yield();
    expect(!(p->empty()));
  };
  co_await f(std::make_shared<std::string>(L));
  (void)n;
  co_return;
}
task<> form_unique_ptr_tern(int n) {
  auto f = [](std::unique_ptr<std::string> p) -> task<> {
    co_await yield();
    expect(!(p && p->empty()));
  };
  co_await f(n > 1 ? nullptr : std::make_unique<std::string>(L));
  (void)n;
  co_return;
}
task<> form_comma(int n) {
  co_await (void(std::string(L)), len(L));
  (void)n;
  co_return;
}
task<> form_as_result_tern(int n) {
  auto r = co_await as_result(len(n > 1 ? std::string("x") : L + "y"));
  (void)r;
  (void)n;
  co_return;
}
task<> form_with_timeout(int n) {
  co_await with_timeout(1s, len(L + "abc"));
  (void)n;
  co_return;
}
task<> form_queue_push_temp(int n) {
  queue<std::string> q;
  co_await q.push(L + "x");
  co_await q.push(n > 1 ? "x" : L + "y");
  (void)co_await q.pop();
  (void)n;
  co_return;
}
task<> form_spawn_in_await(int n) {
  co_await spawn(lens, L + "x").get();
  (void)n;
  co_return;
}
task<> form_spawn_lambda_in_await(int n) {
  std::string c = L;
  co_await spawn([c]() -> task<> { co_await len(c); }).join();
  (void)n;
  co_return;
}
task<> form_when_all_tmp(int n) {
  co_await when_all(len(L + "a"), lens(L + "b"));
  (void)n;
  co_return;
}
task<> form_select_pop(int n) {
  queue<std::string> q;
  co_await q.push(L + "x");
  auto v = co_await select(q.pop(), sleep(1s));
  (void)v;
  (void)n;
  co_return;
}
task<> form_lambda_await_immediate(int n) {
  std::string c = L;
  co_await [&c]() -> task<> { co_await len(c); }();
  (void)n;
  co_return;
}
task<> form_lambda_await_immediate_val(int n) {
  std::string c = L;
  co_await [c]() -> task<> { co_await len(c); }();
  (void)n;
  co_return;
}

struct form {
  const char* name;
  task<> (*body)(int);
  bool is_wrong_before_gcc13;
};
const form forms[] = {
    {"tern_sv", form_tern_sv, true},
    {"tern_val", form_tern_val, true},
    {"tern_ref", form_tern_ref, true},
    {"tern_lvalues", form_tern_lvalues, false},
    {"tern_lvalue_temp", form_tern_lvalue_temp, true},
    {"tern_tasks", form_tern_tasks, true},
    {"tern_of_awaits", form_tern_of_awaits, true},
    {"tern_of_awaits2", form_tern_of_awaits2, true},
    {"temp_concat", form_temp_concat, false},
    {"temp_val", form_temp_val, false},
#if !RINGLET_OLD_COMPILER
    {"vec_braces", form_vec_braces, false},
#endif
#if !RINGLET_OLD_COMPILER
    {"vec_explicit", form_vec_explicit, false},
#endif
#if !RINGLET_OLD_COMPILER
    {"vec_ref_braces", form_vec_ref_braces, false},
#endif
    {"vec_n", form_vec_n, false},
    {"opt", form_opt, false},
    {"opt_explicit", form_opt_explicit, false},
    {"function_lambda", form_function_lambda, true},
    {"agg_braces", form_agg_braces, true},
    {"agg_named", form_agg_named, true},
    {"agg_named_tmp", form_agg_named_tmp, true},
    {"range_for", form_range_for, false},
    {"switch", form_switch, true},
    {"two_args", form_two_args, false},
    {"concat_await", form_concat_await, false},
    {"and_await", form_and_await, true},
    {"or_await", form_or_await, false},
    {"throw_await", form_throw_await, true},
    {"map_index", form_map_index, false},
    {"map_emplace", form_map_emplace, false},
    {"nested", form_nested, false},
    {"value_or", form_value_or, false},
    {"init_if", form_init_if, false},
    {"while_cond", form_while_cond, false},
    {"co_return_tern", form_co_return_tern, false},
    {"co_return_tern_await", form_co_return_tern_await, true},
    {"default_arg", form_default_arg, false},
    {"shared_ptr", form_shared_ptr, false},
    {"unique_ptr_tern", form_unique_ptr_tern, true},
    {"comma", form_comma, false},
    {"as_result_tern", form_as_result_tern, true},
    {"with_timeout", form_with_timeout, false},
    {"queue_push_temp", form_queue_push_temp, true},
    {"spawn_in_await", form_spawn_in_await, false},
    {"spawn_lambda_in_await", form_spawn_lambda_in_await, true},
    {"when_all_tmp", form_when_all_tmp, false},
    {"select_pop", form_select_pop, false},
    {"lambda_await_immediate", form_lambda_await_immediate, false},
    {"lambda_await_immediate_val", form_lambda_await_immediate_val, true},
};

task<> twice(task<> (*body)(int)) {
  co_await body(1);
  co_await body(6);
}

bool runs(const form& one) {
  const child_end end = run_in_child([&one] {
    std::signal(SIGSEGV, SIG_DFL);  // doctest's handlers would report the signal
    std::signal(SIGABRT, SIG_DFL);
    run(twice(one.body));
  });
  return end.status == 0;
}

}  // namespace

TEST_CASE("expressions with co_await give the right results") {
  for (const form& one : forms) {
    if (RINGLET_OLD_COMPILER && one.is_wrong_before_gcc13) continue;
    CAPTURE(one.name);
    CHECK(runs(one));
  }
}

TEST_CASE("g++ before 13 miscompiles these forms, as docs/compilers.md says") {
#if RINGLET_OLD_COMPILER
  if (sanitized) return;
  for (const form& one : forms) {
    if (!one.is_wrong_before_gcc13) continue;
    CAPTURE(one.name);
    CHECK_FALSE(runs(one));
  }
#endif
}
