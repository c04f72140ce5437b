// What a suspended context waits for: data that a dump reads, and the way to end it early.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/frame_record.hpp>

#include <cstdint>
#include <string>

namespace ringlet::extend {

class context;

/// Why a wait is asked to end early.
enum class cancel_reason : std::uint8_t {
  none,
  /// The fiber was killed or a scope around it was cancelled.
  interrupted,
  /// The wait's own limit passed.
  timed_out,
  /// The object that it waits on was closed.
  closed,
};

/// What all waits of one kind have in common.
struct wait_type {
  /// The word that dump() prints, such as "receive".
  const char* name;
  /// Asks the current wait of the context to end early. The wait ends through context::wake(), now
  /// or, if the kernel is involved, later. Null for a wait that ends as soon as its turn comes.
  void (*cancel)(context&, cancel_reason) noexcept;
  /// Appends the object of the wait, such as "fd 7"; may be null.
  void (*describe)(const void* object, std::string& out);
  /// The context that has to act before the wait can end, such as the holder of a lock; null if
  /// that is not one, or not known. The function may be null.
  const context* (*holder)(const void* object) noexcept = nullptr;
};

/// One suspension of a context.
struct wait_record {
  /// Null while the context runs.
  const wait_type* type = nullptr;
  /// The awaiter or other object that the functions of the type interpret.
  void* object = nullptr;
  /// The innermost coroutine of the chain: the one to resume. While the context runs: the innermost
  /// one that was suspended and has not returned.
  frame_record* at = nullptr;
  /// The steady time, in nanoseconds, of the turn in which the wait began.
  std::int64_t since = 0;
};

}  // namespace ringlet::extend
