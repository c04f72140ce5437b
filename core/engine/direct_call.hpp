// The operations that the kernel answers immediately, as plain system calls: one function per
// opcode, for opcode_table.hpp. Each returns a value >= 0 or a negated errno.
#pragma once

#include <ringlet/operation.hpp>

#include <cstdint>

namespace ringlet {

std::int32_t call_poll(operation& op) noexcept;
std::int32_t call_socket(operation& op) noexcept;
std::int32_t call_bind(operation& op) noexcept;
std::int32_t call_listen(operation& op) noexcept;
std::int32_t call_setsockopt(operation& op) noexcept;
std::int32_t call_getsockopt(operation& op) noexcept;
std::int32_t call_getsockname(operation& op) noexcept;
std::int32_t call_getpeername(operation& op) noexcept;
std::int32_t call_shutdown(operation& op) noexcept;
std::int32_t call_receive_now(operation& op) noexcept;
std::int32_t call_close(operation& op) noexcept;

}  // namespace ringlet
