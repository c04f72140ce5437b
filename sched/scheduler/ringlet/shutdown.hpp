// shutdown_requested and shutting_down: for programs that shut down in their own order.
//
//     task<> serve() {
//       auto listener = tcp_listener::bind("127.0.0.1:9090");
//       const auto acceptor = spawn(accept_connections, std::ref(listener));
//       co_await shutdown_requested();       // Ctrl-C
//       co_await acceptor.kill();            // no new connections
//       co_await finish_what_is_under_way();
//     }                                      // run_main returns 0
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/shutdown_wait.hpp>
#include <ringlet/time_limit.hpp>

namespace ringlet {

/// Waits for the first SIGINT or SIGTERM under run_main(). Returns true, or false if the limit
/// passed first. After the signal, every call returns true immediately.
///
/// The first call in a run, awaited or not, changes what the first signal does: it ends this wait
/// and cancels nothing. The main task then has options::shutdown_timeout to end. If it does not end
/// in time, a line on standard error says so, and the signal acts as if shutdown_requested() had
/// never been called; see run_main(). A main task that returns decides the exit code, even after a
/// signal. A second signal ends the program immediately.
///
/// Under run(), which does not touch signals, only the limit and cancellation end this wait. It can
/// be part of a select().
///
/// Errors    None.
/// Cancellation  Loses nothing.
/// Thread    That of any fiber.
extend::shutdown_wait shutdown_requested(time_limit timeout = forever) noexcept;

/// Whether this thread's run is ending: a signal has arrived, or the main task has ended or was
/// killed. When only the program itself has killed the main task, and a shield holds that back: not
/// until the shield ends. Needs no fiber, so callbacks and destructors can call it. Aborts outside
/// of run().
bool shutting_down() noexcept;

}  // namespace ringlet
