// The periodic job of examples/health_check.cpp, with Boost.Asio.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;

namespace {

constexpr auto use_tuple = asio::as_tuple(use_awaitable);
using done_channel = asio::experimental::channel<void(error_code)>;

awaitable<bool> is_up(tcp::endpoint server) {
  const auto executor = co_await asio::this_coro::executor;
  tcp::socket connection(executor);
  asio::steady_timer limit(executor, 1s);
  const auto ended =
      co_await (connection.async_connect(server, use_tuple) || limit.async_wait(use_awaitable));
  co_return ended.index() == 0 && !std::get<0>(std::get<0>(ended));
}

awaitable<void> work(const std::vector<tcp::endpoint>& servers, std::size_t& next,
                     std::vector<char>& answers, done_channel& done) {
  while (next < servers.size()) {
    const std::size_t mine = next++;
    answers[mine] = co_await is_up(servers[mine]);
  }
  co_await done.async_send(error_code(), use_awaitable);
}

awaitable<std::vector<char>> check_once(const std::vector<tcp::endpoint>& servers,
                                        std::size_t workers) {
  const auto executor = co_await asio::this_coro::executor;
  std::vector<char> answers(servers.size());
  std::size_t next = 0;
  done_channel done(executor, workers);
  for (std::size_t i = 0; i < workers; ++i) {
    asio::co_spawn(executor, work(servers, next, answers, done), asio::detached);
  }
  for (std::size_t i = 0; i < workers; ++i) co_await done.async_receive(use_awaitable);
  co_return answers;
}

awaitable<void> check_all(std::chrono::milliseconds period, std::size_t workers,
                          std::vector<tcp::endpoint> servers) {
  const auto executor = co_await asio::this_coro::executor;
  asio::signal_set signals(executor, SIGINT, SIGTERM);
  asio::steady_timer beat(executor, std::chrono::steady_clock::now() + period);
  std::vector<char> before;
  for (std::size_t round = 1;; ++round) {
    const auto next =
        co_await (signals.async_wait(use_awaitable) || beat.async_wait(use_awaitable));
    if (next.index() == 0) {
      std::cout << "stopped after " << round - 1 << " rounds" << std::endl;
      co_return;
    }
    const auto late = std::chrono::steady_clock::now() - beat.expiry();
    const auto missed = late / period;
    beat.expires_at(beat.expiry() + (missed + 1) * period);
    const std::vector<char> now = co_await check_once(servers, workers);
    for (std::size_t i = 0; i < servers.size(); ++i) {
      if (!before.empty() && before[i] == now[i]) continue;
      std::cout << servers[i] << " is " << (now[i] ? "up" : "down") << '\n';
    }
    std::cout << "round " << round << ": " << std::ranges::count(now, 1) << " of " << now.size()
              << " up";
    if (missed != 0) std::cout << ", " << missed << " rounds missed";
    std::cout << std::endl;
    before = now;
  }
}

tcp::endpoint endpoint_of(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const int port = std::stoi(text.substr(colon + 1));
  return {asio::ip::make_address(text.substr(0, colon)), static_cast<unsigned short>(port)};
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<tcp::endpoint> servers;
  for (int i = 3; i < argc; ++i) servers.push_back(endpoint_of(argv[i]));
  asio::io_context context(1);
  const std::chrono::milliseconds period(std::stol(argv[1]));
  asio::co_spawn(context, check_all(period, std::stoul(argv[2]), servers), asio::detached);
  context.run();
}
