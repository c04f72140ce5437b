// Opening a socket and connecting it.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/extend/connecting_wait.hpp>

namespace ringlet::extend {

bool connecting_wait::begin_connect(const wait_type& type, frame_record& at,
                                    const target& to) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  answer = detail::socket_calls::open_socket(engine(), to.family, SOCK_STREAM, to.protocol);
  if (answer < 0) return continue_or_yield(at);
  socket_.reset(answer);
  fd = answer;
  data = to.peer;
  length = to.size;
  return begin_operation(type, at);
}

std::error_code connecting_wait::connect_error() {
  rethrow_interruption_before_start();
  if (answer >= 0) return {};
  socket_.reset();
  return failure();
}

}  // namespace ringlet::extend
