// outcome: how a fiber ended; callback_id: a function that is called then.
//
//     const fiber<> worker = spawn(work);
//     co_await worker.join();
//     if (worker.result() == outcome::error) report(worker.error());
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringlet {

/// How a fiber ended.
enum class outcome : std::uint8_t {
  /// It has not ended.
  pending,
  /// Its task returned.
  value,
  /// Its task threw.
  error,
  /// It was killed, and `cancelled` propagated; or it was killed before it began.
  cancelled,
};

/// Identifies a callback of a fiber; see fiber<T>::on_done().
enum class callback_id : std::uint64_t {};

}  // namespace ringlet
