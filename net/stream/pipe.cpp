// Making pipes.
// SPDX-License-Identifier: MIT
#include <ringlet/error.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/pipe.hpp>

#include <array>

namespace ringlet {
using namespace extend;

pipe_ends make_pipe() {
  std::array<int, 2> made{-1, -1};
  operation op(opcode::open_pipe, nullptr);
  op.data = made.data();
  op.length = sizeof made;
  const std::int32_t answer = current_scheduler().engine().call(op);
  if (answer < 0) throw_error(system_error_code(answer), "make_pipe");
  unique_fd in(made[0]);
  unique_fd out(made[1]);
  pipe_reader reading(std::move(in));
  return {std::move(reading), pipe_writer(std::move(out))};
}

}  // namespace ringlet
