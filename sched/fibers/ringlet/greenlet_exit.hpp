// greenlet_exit: asks a greenlet to end.
#pragma once

namespace ringlet {

/// Throw it into a greenlet to ask it to end. A greenlet that lets it propagate has not failed; the
/// parent's switch, which receives the outcome of its child, then fails with errc::fiber_cancelled.
///
/// Not a std::exception, so that handlers of errors let it pass.
struct greenlet_exit final {};

}  // namespace ringlet
