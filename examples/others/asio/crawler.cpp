// The crawler of examples/crawler.cpp, with Boost.Asio.
// SPDX-License-Identifier: MIT
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using boost::system::system_error;
using namespace asio::experimental::awaitable_operators;

namespace {

constexpr auto use_tuple = asio::as_tuple(use_awaitable);
constexpr std::string_view scheme = "http://";
constexpr std::size_t page_max = 1024 * 1024;
constexpr std::size_t pages_max = 10'000;

// Asio has no semaphore: a channel holds an item for each permit that is taken.
class semaphore {
 public:
  semaphore(asio::any_io_executor on, std::size_t count) : taken_(on, count) {}
  struct returner {
    void operator()(semaphore* of) const {
      of->taken_.try_receive([](error_code) {});
    }
  };
  using permit = std::unique_ptr<semaphore, returner>;
  awaitable<permit> acquire() {
    co_await taken_.async_send(error_code(), use_awaitable);
    co_return permit(this);
  }

 private:
  asio::experimental::channel<void(error_code)> taken_;
};

struct crawl {
  semaphore requests;
  std::size_t per_host;
  std::chrono::seconds limit;
  std::map<std::string, semaphore> hosts = {};
  std::set<std::string> seen = {};
  std::size_t fetched = 0;
  std::size_t failed = 0;
};

std::string host_of(std::string_view url) {
  url.remove_prefix(scheme.size());
  return std::string(url.substr(0, url.find('/')));
}

tcp::endpoint endpoint_of(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) throw std::runtime_error("no port");
  const int port = std::stoi(text.substr(colon + 1));
  return {asio::ip::make_address(text.substr(0, colon)), static_cast<unsigned short>(port)};
}

awaitable<std::string> fetch(std::string url) {
  const std::string host = host_of(url);
  const std::string path = url.substr(scheme.size() + host.size());
  tcp::socket server(co_await asio::this_coro::executor);
  co_await server.async_connect(endpoint_of(host), use_awaitable);
  const std::string request =
      "GET " + (path.empty() ? "/" : path) + " HTTP/1.0\r\nHost: " + host + "\r\n\r\n";
  co_await asio::async_write(server, asio::buffer(request), use_awaitable);
  std::string text;
  const auto [error, size] =
      co_await asio::async_read(server, asio::dynamic_buffer(text, page_max), use_tuple);
  if (!error) throw std::runtime_error("page too long");
  if (error != asio::error::eof) throw system_error(error);
  const std::size_t head_end = text.find("\r\n\r\n");
  if (!text.starts_with("HTTP/1.") || head_end == text.npos) throw std::runtime_error("no HTTP");
  if (text.substr(9, 3) != "200") throw std::runtime_error(text.substr(9, 3));
  co_return text.substr(head_end + 4);
}

// No variant: operator|| would merge it with its own.
struct outcome {
  std::string body;
  std::string error = {};
};

// Returns its error: a branch of || that throws does not end the other branch.
awaitable<outcome> try_fetch(std::string url) {
  try {
    std::string body = co_await fetch(url);  // named: g++ 12 destroys it twice in the braces
    co_return outcome{std::move(body)};
  } catch (const std::exception& error) {
    co_return outcome{"", error.what()};
  }
}

awaitable<outcome> fetch_within(std::chrono::seconds time, std::string url) {
  asio::steady_timer limit(co_await asio::this_coro::executor, time);
  auto ended = co_await (try_fetch(url) || limit.async_wait(use_awaitable));
  if (ended.index() == 1) co_return outcome{"", "timed out"};
  co_return std::get<0>(std::move(ended));
}

awaitable<void> visit(crawl& all, std::string url) {
  const auto executor = co_await asio::this_coro::executor;
  semaphore& host = all.hosts.try_emplace(host_of(url), executor, all.per_host).first->second;
  const auto turn_at_host = co_await host.acquire();
  const auto turn = co_await all.requests.acquire();
  const auto page = co_await fetch_within(all.limit, url);
  if (!page.error.empty()) {
    ++all.failed;
    std::cout << url << ": " << page.error << '\n';
    co_return;
  }
  const std::string& body = page.body;
  ++all.fetched;
  std::cout << url << ": " << body.size() << " bytes\n";
  for (std::size_t at = 0; (at = body.find(scheme, at)) != body.npos; at += scheme.size()) {
    const std::string link = body.substr(at, body.find_first_of("\"'<> \r\n", at) - at);
    if (all.seen.size() == pages_max || !all.seen.insert(link).second) continue;
    asio::co_spawn(executor, visit(all, link), asio::detached);
  }
}

}  // namespace

int main(int, char** argv) {
  asio::io_context context(1);
  crawl all{semaphore(context.get_executor(), std::stoul(argv[1])), std::stoul(argv[2]),
            std::chrono::seconds(std::stol(argv[3]))};
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](error_code error, int) {
    if (!error) context.stop();
  });
  all.seen.insert(argv[4]);
  asio::co_spawn(context, visit(all, argv[4]), asio::detached);
  while (context.run_one() != 0) {
    if (all.fetched + all.failed == all.seen.size()) break;  // the wait for a signal is left
  }
  std::cout << all.fetched << " pages, " << all.failed << " failed\n";
  return all.failed == 0 && !context.stopped() ? 0 : 1;
}
