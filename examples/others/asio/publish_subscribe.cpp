// The server of examples/publish_subscribe.cpp, with Boost.Asio.
// SPDX-License-Identifier: MIT
#include <array>
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <deque>
#include <iostream>
#include <memory>
#include <set>
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

using line = std::shared_ptr<const std::string>;

constexpr auto use_tuple = asio::as_tuple(use_awaitable);
constexpr std::size_t behind_max = 1024;
constexpr std::size_t batch_max = 64 * 1024;
constexpr std::size_t line_max = 65'536;

struct subscriber {
  asio::steady_timer wake;  // cancelled to wake the coroutine that sends
  std::deque<line> lines = {};
  std::size_t missed = 0;

  void take(const line& next) {
    if (lines.size() == behind_max) {
      lines.pop_front();
      ++missed;
    }
    lines.push_back(next);
    wake.cancel();
  }
};
using subscribers = std::set<subscriber*>;

awaitable<void> publish(tcp::socket& client, std::string text, subscribers& all) {
  for (;;) {
    const auto [error, size] = co_await asio::async_read_until(
        client, asio::dynamic_buffer(text, line_max), '\n', use_tuple);
    if (error == asio::error::eof) co_return;
    if (error) throw system_error(error);
    const auto next = std::make_shared<const std::string>(text.substr(0, size));
    text.erase(0, size);
    for (subscriber* one : all) one->take(next);
  }
}

awaitable<void> send_lines(tcp::socket& client, subscriber& from, std::chrono::seconds limit) {
  std::size_t told = 0;
  asio::steady_timer stalled(client.get_executor());
  for (;;) {
    while (from.lines.empty()) {
      from.wake.expires_at(asio::steady_timer::time_point::max());
      co_await from.wake.async_wait(use_tuple);
    }
    std::string text;
    if (from.missed != told) text = "(" + std::to_string(from.missed - told) + " lines missed)\n";
    told = from.missed;
    while (!from.lines.empty() && text.size() < batch_max) {
      text += *from.lines.front();
      from.lines.pop_front();
    }
    stalled.expires_after(limit);
    const auto sent = co_await (asio::async_write(client, asio::buffer(text), use_tuple) ||
                                stalled.async_wait(use_awaitable));
    if (sent.index() == 1) throw system_error(asio::error::timed_out);
    if (const auto [error, size] = std::get<0>(sent); error) throw system_error(error);
  }
}

awaitable<void> wait_for_end(tcp::socket& client) {
  std::array<char, 1024> ignored;
  for (;;) co_await client.async_read_some(asio::buffer(ignored), use_awaitable);
}

awaitable<void> subscribe(tcp::socket& client, subscribers& all, std::chrono::seconds limit) {
  subscriber mine{asio::steady_timer(client.get_executor())};
  all.insert(&mine);
  try {
    co_await (send_lines(client, mine, limit) && wait_for_end(client));  // one of them throws
  } catch (const std::exception&) {
  }
  all.erase(&mine);
}

awaitable<void> serve(tcp::socket client, subscribers& all, std::chrono::seconds limit) {
  try {
    std::string text;
    const std::size_t size = co_await asio::async_read_until(
        client, asio::dynamic_buffer(text, line_max), '\n', use_awaitable);
    std::string role = text.substr(0, size - 1);
    if (role.ends_with('\r')) role.pop_back();
    text.erase(0, size);
    if (role == "PUBLISH") {
      co_await publish(client, std::move(text), all);
    } else if (role == "SUBSCRIBE") {
      co_await subscribe(client, all, limit);
    } else {
      const std::string question = "PUBLISH or SUBSCRIBE?\n";
      co_await asio::async_write(client, asio::buffer(question), use_awaitable);
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
  }
}

awaitable<void> serve_all(tcp::acceptor listener, subscribers& all, std::chrono::seconds limit) {
  for (;;) {
    auto [error, client] = co_await listener.async_accept(use_tuple);
    if (error) {
      std::cerr << error.message() << '\n';
      co_await asio::steady_timer(listener.get_executor(), 100ms).async_wait(use_awaitable);
      continue;
    }
    const auto executor = client.get_executor();
    asio::co_spawn(executor, serve(std::move(client), all, limit), asio::detached);
  }
}

tcp::endpoint endpoint_of(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const int port = std::stoi(text.substr(colon + 1));
  return {asio::ip::make_address(text.substr(0, colon)), static_cast<unsigned short>(port)};
}

}  // namespace

int main(int, char** argv) {
  subscribers all;  // outlives the context, whose end destroys the calls that use it
  asio::io_context context(1);
  tcp::acceptor listener(context, endpoint_of(argv[1]));
  std::cout << "listening on " << listener.local_endpoint() << std::endl;
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](error_code, int) { context.stop(); });
  const std::chrono::seconds limit(std::stol(argv[2]));
  asio::co_spawn(context, serve_all(std::move(listener), all, limit), asio::detached);
  context.run();
  return 130;
}
