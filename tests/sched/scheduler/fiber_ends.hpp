// Fibers that end in several ways, and notes about how, for tests of fibers' ends.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/options.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task.hpp>

#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>

namespace ringlet::test {

inline task<> nothing() { co_return; }

inline task<int> answer() { co_return 42; }

inline task<> fail(const char* sentence) {
  throw std::runtime_error(sentence);
  co_return;
}

inline task<> sleep_long() { co_await sleep(std::chrono::hours(1)); }

inline std::exception_ptr error_of(const char* sentence) {
  return std::make_exception_ptr(std::runtime_error(sentence));
}

inline std::string sentence_of(const std::exception_ptr& error) {
  if (error == nullptr) return "no error";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return known.what();
  } catch (const cancelled&) {
    return "cancelled";
  } catch (...) {
    return "unknown";
  }
}

// Options with a handler that notes unhandled failures.
inline options noting(std::string& log) {
  options settings;
  settings.on_unhandled_error = [&log](const unhandled_error& failure) {
    log += "[" + std::to_string(failure.id) + " " + std::string(failure.name) + ": " +
           sentence_of(failure.error) + "]";
  };
  return settings;
}

// Sleeps `count` times and notes the outcome of each sleep.
inline task<> note_kills(std::string& log, int count) {
  for (int i = 0; i < count; ++i) {
    try {
      co_await sleep(std::chrono::milliseconds(1));
      log += "slept ";
    } catch (const cancelled&) {
      log += "cancelled ";
    } catch (const std::exception& error) {
      log += error.what();
      log += ' ';
    }
  }
}

}  // namespace ringlet::test
