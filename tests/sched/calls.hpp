// What the tests of groups, pools and similar calls share: small calls, and their outcomes in
// words.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/deadlock.hpp>
#include <ringlet/error.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task.hpp>
#include <ringlet/task_group.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "scripted_run.hpp"

namespace ringlet::test {
using namespace extend;

inline task<> sleep_for(std::chrono::nanoseconds time) { co_await sleep(time); }

template <class T>
task<T> value_after(std::chrono::nanoseconds time, T value) {
  co_await sleep(time);
  co_return value;
}

inline task<> fail_after(std::chrono::nanoseconds time, const char* what) {
  co_await sleep(time);
  throw std::runtime_error(what);
}

inline std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "something else";
  }
}

inline std::string texts_of(const group_error& error) {
  std::string all = "group:";
  for (const std::exception_ptr& one : error.errors()) all += " " + text_of(one);
  return all;
}

/// The outcome of the call in words.
template <class T>
task<std::string> outcome_of(task<T> call) {
  try {
    co_await call;
    co_return "done";
  } catch (const group_error& error) {
    co_return texts_of(error);
  } catch (const timed_out&) {
    co_return "timed out";
  } catch (const cancelled&) {
    co_return "cancelled";
  } catch (const std::system_error& error) {
    if (error.code() == errc::fiber_cancelled) co_return "fiber_cancelled";
    if (error.code() == errc::closed) co_return "closed";
    co_return error.what();
  } catch (const std::exception& error) {
    co_return error.what();
  }
}

using body_of_group = std::function<task<>(task_group&)>;

inline task<> in_group(body_of_group body) { co_await with_group(body); }

/// The outcome of a group with that body.
inline task<std::string> outcome_of_group(body_of_group body) {
  co_return co_await outcome_of(in_group(std::move(body)));
}

/// Catches `cancelled` at `times` waits, and notes each.
inline task<> note_cancellations(std::string& log, int times, std::string note) {
  for (int i = 0; i < times; ++i) {
    try {
      co_await sleep(std::chrono::hours(1));
    } catch (const cancelled&) {
      log += note;
    }
  }
}

/// Runs the task as the main task on a scripted engine.
inline void run_scripted(const std::function<task<>(scripted_engine&)>& main,
                         options settings = {}) {
  scripted_engine engine;
  run_on(engine, main(engine), std::move(settings));
}

/// The message of the deadlock that the task causes as the main task on a scripted engine; empty
/// when there is none.
inline std::string deadlock_of(const std::function<task<>(scripted_engine&)>& main) {
  try {
    run_scripted(main);
  } catch (const deadlock& found) {
    return found.what();
  }
  return {};
}

/// Options that collect unhandled failures.
inline options collecting(std::vector<std::string>& reports) {
  options settings;
  settings.on_unhandled_error = [&reports](const unhandled_error& failure) {
    reports.push_back(text_of(failure.error));
  };
  return settings;
}

}  // namespace ringlet::test
