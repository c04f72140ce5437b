// greenlet_exit: asks a greenlet to end.
//
//     task<> tick() {
//       try {
//         for (;;) co_await greenlet<>::current().parent().switch_to();
//       } catch (const greenlet_exit&) {
//         show("stopped");
//       }
//     }
//
//     greenlet<> clock(tick);
//     co_await clock.switch_to();
//     co_await clock.throw_into(greenlet_exit());  // returns when the clock has ended
// SPDX-License-Identifier: MIT
#pragma once

namespace ringlet {

/// Throw it into a greenlet to ask it to end. A greenlet that lets it propagate has not failed; the
/// parent's switch, which receives the outcome of its child, then fails with errc::fiber_cancelled.
///
/// Not a std::exception, so that handlers of errors let it pass.
struct greenlet_exit final {};

}  // namespace ringlet
