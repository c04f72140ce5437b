// The operations that the kernel answers immediately, as plain system calls: one function per
// opcode, for opcode_table.hpp. Each returns a value >= 0 or a negated errno.
#pragma once

#include <ringlet/extend/operation.hpp>

#include <cstdint>

namespace ringlet::detail {

std::int32_t call_poll(extend::operation& op) noexcept;
std::int32_t call_socket(extend::operation& op) noexcept;
std::int32_t call_bind(extend::operation& op) noexcept;
std::int32_t call_listen(extend::operation& op) noexcept;
std::int32_t call_setsockopt(extend::operation& op) noexcept;
std::int32_t call_getsockopt(extend::operation& op) noexcept;
std::int32_t call_getsockname(extend::operation& op) noexcept;
std::int32_t call_getpeername(extend::operation& op) noexcept;
std::int32_t call_shutdown(extend::operation& op) noexcept;
std::int32_t call_receive_now(extend::operation& op) noexcept;
std::int32_t call_close(extend::operation& op) noexcept;

}  // namespace ringlet::detail
