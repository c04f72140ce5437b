// The proxy of examples/proxy.cpp, with Boost.Asio.
// SPDX-License-Identifier: MIT
#include <array>
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <iostream>
#include <string>

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using boost::system::system_error;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;

namespace {

constexpr auto use_tuple = asio::as_tuple(use_awaitable);

awaitable<void> copy(tcp::socket& from, tcp::socket& to) {
  std::array<char, 16384> data;
  for (;;) {
    const auto [error, size] = co_await from.async_read_some(asio::buffer(data), use_tuple);
    if (error == asio::error::eof) break;
    if (error) throw system_error(error);
    co_await asio::async_write(to, asio::buffer(data, size), use_awaitable);
  }
  to.shutdown(tcp::socket::shutdown_send);
}

awaitable<void> connect(tcp::socket& server, const tcp::endpoint& target) {
  asio::steady_timer limit(server.get_executor(), 5s);
  const auto connected =
      co_await (server.async_connect(target, use_tuple) || limit.async_wait(use_awaitable));
  if (connected.index() == 1) throw system_error(asio::error::timed_out);
  const auto [error] = std::get<0>(connected);
  if (error) throw system_error(error);
}

void reset(tcp::socket& socket) {
  error_code ignored;
  socket.set_option(asio::socket_base::linger(true, 0), ignored);
  socket.close(ignored);
}

awaitable<void> serve(tcp::socket client, tcp::endpoint target) {
  tcp::socket server(client.get_executor());
  try {
    co_await connect(server, target);
    co_await (copy(client, server) && copy(server, client));
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    reset(client);
    reset(server);
  }
}

awaitable<void> serve_all(tcp::acceptor listener, tcp::endpoint target) {
  for (;;) {
    auto [error, client] = co_await listener.async_accept(use_tuple);
    if (error) {
      std::cerr << error.message() << '\n';
      co_await asio::steady_timer(listener.get_executor(), 100ms).async_wait(use_awaitable);
      continue;
    }
    const auto executor = client.get_executor();
    asio::co_spawn(executor, serve(std::move(client), target), asio::detached);
  }
}

tcp::endpoint endpoint_of(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const int port = std::stoi(text.substr(colon + 1));
  return {asio::ip::make_address(text.substr(0, colon)), static_cast<unsigned short>(port)};
}

}  // namespace

int main(int, char** argv) {
  asio::io_context context(1);
  tcp::acceptor listener(context, endpoint_of(argv[1]));
  std::cout << "listening on " << listener.local_endpoint() << std::endl;
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](error_code, int) { context.stop(); });
  asio::co_spawn(context, serve_all(std::move(listener), endpoint_of(argv[2])), asio::detached);
  context.run();
  return 130;
}
