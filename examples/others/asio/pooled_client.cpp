// The client of examples/pooled_client.cpp, with Boost.Asio.
// SPDX-License-Identifier: MIT
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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
using clock = std::chrono::steady_clock;

struct connection {
  tcp::socket stream;
  std::string text = {};
};

class client {
 public:
  std::size_t answered = 0, connected = 0, repeated = 0;

  client(asio::any_io_executor on, tcp::endpoint server, long rate, std::size_t connections_max)
      : on_(on), server_(server), period_(1'000'000'000 / rate), places_(on, connections_max) {}

  awaitable<void> ask(std::size_t number) {
    const std::string request = "GET " + std::to_string(number) + "\n";
    for (int attempt = 0; attempt < 3; ++attempt) {
      if (attempt > 0) {
        ++repeated;
        co_await asio::steady_timer(on_, 20ms * attempt).async_wait(use_awaitable);
      }
      co_await places_.async_send(error_code(), use_awaitable);  // a channel as a semaphore
      asio::steady_timer turn(on_, next_ = std::max(next_ + period_, clock::now()));
      co_await turn.async_wait(use_awaitable);
      const error_code error = co_await ask_within(5s, request, attempt > 0);
      places_.try_receive([](error_code) {});
      if (!error) {
        ++answered;
        co_return;
      }
      if (attempt == 2) std::cout << "request " << number << ": " << error.message() << '\n';
    }
  }

 private:
  // Returns its error: a branch of || that throws does not end the other branch.
  awaitable<error_code> ask_once(const std::string& request, bool is_repeated) {
    try {
      std::unique_ptr<connection> used = co_await take(is_repeated);
      co_await asio::async_write(used->stream, asio::buffer(request), use_awaitable);
      const std::size_t size = co_await asio::async_read_until(
          used->stream, asio::dynamic_buffer(used->text), '\n', use_awaitable);
      used->text.erase(0, size);
      idle_.push_back(std::move(used));
      co_return error_code();
    } catch (const system_error& error) {
      co_return error.code();
    }
  }

  awaitable<error_code> ask_within(clock::duration time, const std::string& request,
                                   bool is_repeated) {
    asio::steady_timer limit(on_, time);
    const auto ended = co_await (ask_once(request, is_repeated) || limit.async_wait(use_awaitable));
    if (ended.index() == 1) co_return asio::error::timed_out;
    co_return std::get<0>(ended);
  }

  // A kept connection may be one that the server has closed, so a request that is repeated gets a
  // new one.
  awaitable<std::unique_ptr<connection>> take(bool is_repeated) {
    if (!idle_.empty() && !is_repeated) {
      auto kept = std::move(idle_.back());
      idle_.pop_back();
      co_return kept;
    }
    auto made = std::make_unique<connection>(connection{tcp::socket(on_)});
    co_await made->stream.async_connect(server_, use_awaitable);
    ++connected;
    co_return made;
  }

  asio::any_io_executor on_;
  tcp::endpoint server_;
  std::chrono::nanoseconds period_;
  clock::time_point next_ = {};
  asio::experimental::channel<void(error_code)> places_;
  std::vector<std::unique_ptr<connection>> idle_;
};

tcp::endpoint endpoint_of(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const int port = std::stoi(text.substr(colon + 1));
  return {asio::ip::make_address(text.substr(0, colon)), static_cast<unsigned short>(port)};
}

}  // namespace

int main(int, char** argv) {
  asio::io_context context(1);
  const std::size_t count = std::stoul(argv[3]);
  client one(context.get_executor(), endpoint_of(argv[4]), std::stol(argv[1]), std::stoul(argv[2]));
  for (std::size_t i = 0; i < count; ++i) asio::co_spawn(context, one.ask(i), asio::detached);
  context.run();
  std::cout << one.answered << " of " << count << " requests answered, " << one.connected
            << " connections made, " << one.repeated << " requests repeated\n";
  return one.answered == count ? 0 : 1;
}
