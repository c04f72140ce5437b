// The two threads of examples/two_threads.cpp, with Boost.Asio: each runs an io_context.
// SPDX-License-Identifier: MIT
#include <boost/asio.hpp>
#include <chrono>
#include <iostream>
#include <map>
#include <string>
#include <thread>

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using boost::system::system_error;
using namespace std::chrono_literals;

namespace {

constexpr auto use_tuple = asio::as_tuple(use_awaitable);

// What belongs to the counting thread.
struct counter {
  asio::io_context context{1};
  std::map<std::string, std::size_t> counts;
};

awaitable<std::size_t> count(counter& words, std::string word) { co_return ++words.counts[word]; }

awaitable<void> serve(tcp::socket client, counter& words) {
  try {
    std::string text;
    for (;;) {
      const auto [error, size] = co_await asio::async_read_until(
          client, asio::dynamic_buffer(text, 65'536), '\n', use_tuple);
      if (error == asio::error::eof) co_return;
      if (error) throw system_error(error);
      const std::string word = text.substr(0, size - 1);
      text.erase(0, size);
      // Runs there, and resumes here.
      const std::size_t now =
          co_await asio::co_spawn(words.context, count(words, word), use_awaitable);
      const std::string reply = word + ": " + std::to_string(now) + "\n";
      co_await asio::async_write(client, asio::buffer(reply), use_awaitable);
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
  }
}

awaitable<void> serve_all(tcp::acceptor listener, counter& words) {
  for (;;) {
    auto [error, client] = co_await listener.async_accept(use_tuple);
    if (error) {
      std::cerr << error.message() << '\n';
      co_await asio::steady_timer(listener.get_executor(), 100ms).async_wait(use_awaitable);
      continue;
    }
    const auto executor = client.get_executor();
    asio::co_spawn(executor, serve(std::move(client), words), asio::detached);
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
  counter words;
  auto work = asio::make_work_guard(words.context);
  std::thread counting([&words] { words.context.run(); });
  std::cout << "listening on " << listener.local_endpoint() << std::endl;
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](error_code, int) { context.stop(); });
  asio::co_spawn(context, serve_all(std::move(listener), words), asio::detached);
  context.run();
  words.context.stop();
  counting.join();
  return 130;
}
