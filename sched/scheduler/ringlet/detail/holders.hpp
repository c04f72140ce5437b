// What is known of the fibers that others wait for: the links of a cycle of locks.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>

namespace ringlet::extend {

class fiber_base;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// The fiber that has to act before the wait of `who` can end; null if that is not one, or not
/// known. See wait_type.
const extend::fiber_base* holder_awaited_by(const extend::fiber_base& who) noexcept;

/// Whether a limit of its wait, or of a call around it, can end the wait of `who`. Throws
/// std::bad_alloc.
bool can_time_out(const extend::fiber_base& who);

/// Their entries, as in dump(). Throws std::bad_alloc.
std::string list_of(std::span<const extend::fiber_base* const> fibers);

}  // namespace ringlet::detail
