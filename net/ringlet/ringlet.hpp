// ringlet: all headers for programs. Each can also be included by itself.
//
//     #include <ringlet/ringlet.hpp>
//     using namespace ringlet;
//
//     task<> echo(tcp_stream peer) {
//       while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
//     }
//
//     task<> serve() {
//       auto listener = tcp_listener::bind("127.0.0.1:9090");
//       for (;;) spawn(echo(co_await listener.accept()));
//     }
//
//     int main() { return run_main(serve()); }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/any_fiber.hpp>
#include <ringlet/as_completed.hpp>
#include <ringlet/as_result.hpp>
#include <ringlet/async_generator.hpp>
#include <ringlet/auto_reset_event.hpp>
#include <ringlet/barrier.hpp>
#include <ringlet/basic_queue.hpp>
#include <ringlet/blocking.hpp>
#include <ringlet/bounded_semaphore.hpp>
#include <ringlet/broadcast.hpp>
#include <ringlet/buffer.hpp>
#include <ringlet/byte_stream.hpp>
#include <ringlet/cancelled.hpp>
#include <ringlet/channel.hpp>
#include <ringlet/codec.hpp>
#include <ringlet/concurrent_event.hpp>
#include <ringlet/concurrent_queue.hpp>
#include <ringlet/concurrent_semaphore.hpp>
#include <ringlet/condition.hpp>
#include <ringlet/connect_options.hpp>
#include <ringlet/copy.hpp>
#include <ringlet/deadlock.hpp>
#include <ringlet/decoded.hpp>
#include <ringlet/descriptor_limit.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/elements_of.hpp>
#include <ringlet/engine_options.hpp>
#include <ringlet/error.hpp>
#include <ringlet/event.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/fiber_local.hpp>
#include <ringlet/fiber_range.hpp>
#include <ringlet/fiber_set.hpp>
#include <ringlet/frame_format.hpp>
#include <ringlet/frames.hpp>
#include <ringlet/future.hpp>
#include <ringlet/generator.hpp>
#include <ringlet/generator_exit.hpp>
#include <ringlet/greenlet.hpp>
#include <ringlet/greenlet_exit.hpp>
#include <ringlet/join_options.hpp>
#include <ringlet/joinable_queue.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/latch.hpp>
#include <ringlet/lifo_queue.hpp>
#include <ringlet/listening_descriptors.hpp>
#include <ringlet/manual_timeout.hpp>
#include <ringlet/memory_stream.hpp>
#include <ringlet/mutex.hpp>
#include <ringlet/now.hpp>
#include <ringlet/options.hpp>
#include <ringlet/outcome.hpp>
#include <ringlet/per_scheduler.hpp>
#include <ringlet/pipe.hpp>
#include <ringlet/poll_fd.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/priority_queue.hpp>
#include <ringlet/promise.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/rate_limiter.hpp>
#include <ringlet/reader.hpp>
#include <ringlet/recursive_mutex.hpp>
#include <ringlet/relay.hpp>
#include <ringlet/remote_fiber.hpp>
#include <ringlet/remote_future.hpp>
#include <ringlet/remote_promise.hpp>
#include <ringlet/resolve.hpp>
#include <ringlet/resolve_error.hpp>
#include <ringlet/resolve_name.hpp>
#include <ringlet/resolver.hpp>
#include <ringlet/result.hpp>
#include <ringlet/retry.hpp>
#include <ringlet/run.hpp>
#include <ringlet/run_on.hpp>
#include <ringlet/runtime.hpp>
#include <ringlet/runtime_options.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/select.hpp>
#include <ringlet/select_each.hpp>
#include <ringlet/select_set.hpp>
#include <ringlet/semaphore.hpp>
#include <ringlet/serve_connections.hpp>
#include <ringlet/server_control.hpp>
#include <ringlet/server_limits.hpp>
#include <ringlet/shared_mutex.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/shutdown.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/socket_stream.hpp>
#include <ringlet/spawn_after.hpp>
#include <ringlet/spawnable.hpp>
#include <ringlet/split.hpp>
#include <ringlet/standard_descriptors.hpp>
#include <ringlet/standard_streams.hpp>
#include <ringlet/supervise.hpp>
#include <ringlet/task.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_listener_group.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/ticker.hpp>
#include <ringlet/time_limit.hpp>
#include <ringlet/timer.hpp>
#include <ringlet/two_way_generator.hpp>
#include <ringlet/udp_server.hpp>
#include <ringlet/udp_socket.hpp>
#include <ringlet/unique_fd.hpp>
#include <ringlet/unix_address.hpp>
#include <ringlet/unix_datagram.hpp>
#include <ringlet/unix_listener.hpp>
#include <ringlet/unix_stream.hpp>
#include <ringlet/value_or_unit.hpp>
#include <ringlet/version.hpp>
#include <ringlet/watch.hpp>
#include <ringlet/when_all.hpp>
#include <ringlet/with_timeout.hpp>
#include <ringlet/writer.hpp>
