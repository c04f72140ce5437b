// The key-value server of examples/key_value_server.cpp, with Boost.Asio.
// SPDX-License-Identifier: MIT
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;

namespace {

using store = std::map<std::string, std::string, std::less<>>;

constexpr auto use_tuple = asio::as_tuple(use_awaitable);
constexpr std::size_t line_max = 4096;

std::pair<std::string_view, std::string_view> split(std::string_view text) {
  const std::size_t blank = text.find(' ');
  if (blank == text.npos) return {text, {}};
  return {text.substr(0, blank), text.substr(blank + 1)};
}

std::string answer(std::string_view line, store& values) {
  const auto [verb, rest] = split(line);
  const auto [key, value] = split(rest);
  const auto found = values.find(key);
  if (verb == "SET" && !key.empty()) {
    values.insert_or_assign(std::string(key), std::string(value));
    return "OK\n";
  }
  if (verb == "GET" && !key.empty() && value.empty()) {
    return found == values.end() ? "NONE\n" : "VALUE " + found->second + "\n";
  }
  if (verb == "DEL" && !key.empty() && value.empty()) {
    if (found == values.end()) return "NONE\n";
    values.erase(found);
    return "OK\n";
  }
  return "ERROR unknown command\n";
}

// Returns false when the client is too slow.
awaitable<bool> reply(tcp::socket& client, const std::string& text) {
  asio::steady_timer limit(client.get_executor(), 30s);
  const auto ended = co_await (asio::async_write(client, asio::buffer(text), use_tuple) ||
                               limit.async_wait(use_awaitable));
  co_return ended.index() == 0 && !std::get<0>(std::get<0>(ended));
}

awaitable<void> serve(tcp::socket client, store& values) {
  std::string text;
  for (;;) {
    asio::steady_timer limit(client.get_executor(), 5min);
    // as_tuple: a failed branch of || is not waited for like a branch that has yet to succeed.
    const auto read = co_await (
        asio::async_read_until(client, asio::dynamic_buffer(text, line_max), '\n', use_tuple) ||
        limit.async_wait(use_awaitable));
    if (read.index() == 1) co_return;
    const auto [error, size] = std::get<0>(read);
    if (error == asio::error::not_found) co_await reply(client, "ERROR line too long\n");
    if (error) co_return;  // also at the end of the stream
    std::string line = text.substr(0, size - 1);
    if (line.ends_with('\r')) line.pop_back();
    text.erase(0, size);
    const bool taken = co_await reply(client, answer(line, values));
    if (!taken) co_return;
  }
}

awaitable<void> serve_all(tcp::acceptor listener) {
  store values;
  for (;;) {
    auto [error, client] = co_await listener.async_accept(use_tuple);
    if (error) {  // often a shortage of descriptors
      std::cerr << error.message() << '\n';
      co_await asio::steady_timer(listener.get_executor(), 100ms).async_wait(use_awaitable);
      continue;
    }
    const auto executor = client.get_executor();
    asio::co_spawn(executor, serve(std::move(client), values), asio::detached);
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
  asio::co_spawn(context, serve_all(std::move(listener)), asio::detached);
  context.run();
  return 130;
}
