// deadlock: thrown when nothing can ever wake a fiber again.
//
//     void serve_once() {
//       try {
//         run(serve());
//       } catch (const deadlock& error) {
//         log(error.what());  // each fiber, and what it waits for
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>

namespace ringlet {

/// Thrown by run() when no fiber is ready, no timer is armed, every fiber waits for another fiber
/// (or a queue or event) of this scheduler, and no scheduler_handle is alive that could post work.
/// what() lists every fiber and what it waits for.
///
/// Inside run(), the main task is killed, which ends all other fibers first. `cancelled` unwinds
/// it, so no handler of errors swallows a deadlock. If the main task survives, the deadlock is
/// reported; see options::on_unhandled_error.
///
/// Also thrown by lock() of a mutex, in the fiber whose wait closes a cycle of locks, even while
/// other fibers and timers are alive; what() then lists the fibers of the cycle. See mutex.
class deadlock : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace ringlet
