// Reading datagrams, and running their handlers.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/udp_server.hpp>

#include <cerrno>
#include <chrono>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace ringlet {
using namespace extend;

namespace {

// How long to wait when there is no memory to receive, or errors do not end.
constexpr std::chrono::milliseconds shortage_pause(10);

// After that many errors in a row, the next try waits a little, in case the error stays.
constexpr int errors_at_once = 16;

// Whether the error tells of an earlier datagram that was lost on the way.
// (icmp(7): the kernel turns each ICMP message into one of these.)
bool is_from_the_network(const std::error_code& error) noexcept {
  if (error.category() != std::system_category()) return false;
  switch (error.value()) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENONET:
    case EMSGSIZE:
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case EACCES:
      return true;
    default:
      return false;
  }
}

class counted_while_alive {
 public:
  explicit counted_while_alive(std::size_t& count) noexcept : count_(count) { ++count_; }
  counted_while_alive(const counted_while_alive&) = delete;
  counted_while_alive& operator=(const counted_while_alive&) = delete;
  ~counted_while_alive() { --count_; }

 private:
  std::size_t& count_;
};

}  // namespace

task<> udp_request::reply(std::span<const std::byte> bytes) const {
  return server_->reply(peer, bytes);
}

udp_server::udp_server(udp_socket socket, handler handle, udp_server_options options)
    : socket_(std::move(socket)),
      handle_(std::move(handle)),
      options_(std::move(options)),
      slots_(options_.handlers) {
  if (options_.handlers == 0) {
    throw std::invalid_argument("udp_server_options::handlers is 0: at least 1");
  }
}

task<> udp_server::serve() {
  RINGLET_ASSERT(!std::exchange(has_begun_, true), "serve() of a udp_server was called twice");
  const auto body = [this](task_group& handlers) -> task<> {
    if (!is_stopped_) reader_ = handlers.spawn(read(handlers));
    co_return;
  };
  co_await with_group(body);
  if (broken_) throw_error(broken_, "udp_server: receive");
}

void udp_server::stop() noexcept {
  is_stopped_ = true;
  if (reader_) reader_->request_kill();
}

task<> udp_server::read(task_group& handlers) {
  int errors_in_a_row = 0;
  while (!is_stopped_) {
    pool::slot busy;
    if (options_.overload == udp_overload::wait) busy = co_await slots_.reserve();
    auto received = co_await as_result(socket_.receive());
    if (received) {
      errors_in_a_row = 0;
      if (!busy) busy = slots_.try_reserve();
      if (!busy || !begin_handler(handlers, std::move(*received), std::move(busy))) ++dropped_;
      continue;
    }
    if (received.error() == errc::closed) break;
    const bool is_short = received.error() == std::errc::not_enough_memory;
    if (!is_short && !is_from_the_network(received.error())) {
      broken_ = received.error();
      break;
    }
    if (is_short || ++errors_in_a_row > errors_at_once) co_await sleep(shortage_pause);
  }
}

bool udp_server::begin_handler(task_group& handlers, udp_datagram received, pool::slot busy) {
  try {
    handlers.spawn(run_handler(udp_request(*this, std::move(received)), std::move(busy)));
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

task<> udp_server::run_handler(udp_request request, pool::slot busy) {
  const pool::slot until_the_end = std::move(busy);
  const address peer = request.peer;
  const counted_while_alive counted(running_);
  try {
    co_await handle_(std::move(request));
    ++handled_;
  } catch (const cancelled&) {
    throw;
  } catch (...) {
    ++failed_;
    report(peer, std::current_exception());
  }
}

task<> udp_server::reply(address peer, std::span<const std::byte> bytes) {
  const pool::slot turn = co_await sending_.reserve();
  co_await socket_.send_to(peer, bytes);
}

void udp_server::report(const address& peer, std::exception_ptr error) const noexcept {
  if (options_.on_error) return options_.on_error(peer, std::move(error));
  std::string name;
  try {
    name = "datagram from " + peer.to_string();
  } catch (const std::bad_alloc&) {  // then without the name
  }
  detail::report_unhandled({.id = current().id(), .name = name, .error = std::move(error)});
}

}  // namespace ringlet
