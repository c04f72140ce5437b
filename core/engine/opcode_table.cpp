// Looks up rows, and aborts on misused opcodes.
// SPDX-License-Identifier: MIT
#include "opcode_table.hpp"

namespace ringlet {
using namespace extend;

const detail::opcode_row* detail::find_row(opcode code) noexcept {
  return static_cast<std::size_t>(code) < std::size(opcode_table) ? &row_of(code) : nullptr;
}

const char* detail::name_of(opcode code) noexcept {
  const opcode_row* const row = find_row(code);
  return row != nullptr ? row->name : "an unknown opcode";
}

void detail::refuse_start(opcode code) noexcept {
  RINGLET_ASSERT(find_row(code) == nullptr, "an operation that is answered at once was started");
  RINGLET_ASSERT(false, "an operation was started that the engine does not know");
}

void detail::refuse_call(opcode code) noexcept {
  RINGLET_ASSERT(find_row(code) == nullptr,
                 "an operation that takes time was made as a direct call");
  RINGLET_ASSERT(false, "a call was made that the engine does not know");
}

}  // namespace ringlet
