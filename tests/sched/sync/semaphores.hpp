// What the tests of semaphores share: fibers that ask for permits.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/semaphore.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <cstddef>
#include <string>

#include "sched/calls.hpp"

namespace ringlet::test {

inline task<> take(semaphore& from, std::size_t count, time_limit timeout = forever) {
  const semaphore::permit taken = co_await from.acquire(count, timeout);
}

inline task<> take_one(semaphore& from) { co_await take(from, 1); }

/// Notes its name when it has the permits, and gives them back.
inline task<> note(semaphore& from, std::string& log, char name, std::size_t count,
                   time_limit timeout = forever) {
  const semaphore::permit taken = co_await from.acquire(count, timeout);
  log += name;
}

/// Notes its name when it has used up a permit.
inline task<> note_and_consume(semaphore& from, std::string& log, char name) {
  (co_await from.acquire()).consume();
  log += name;
}

}  // namespace ringlet::test
