// A client that limits its requests per second, and retries those that the server refuses.
//
//     $ ./build/examples/rate_limited_client 20 50
//     request 4: refused, again in 12 ms
//     ...
//     20 of 20 requests answered, 6 refusals, at most 26 requests in any second
//
// The first number is how many requests it makes, the second how many it sends per second. The
// server is a part of this program, so that nothing else has to run: it refuses every fourth
// request, as a busy service does.
//
// Shows: rate_limiter, which lets fibers through in order and at a rate; retry(), which repeats a
// call that failed, after pauses that grow and are partly random; a call that waits for its permit
// inside of what is retried, so that repeated requests count, too; pool::map(), for many calls of
// which some run at once; with_group(), for a server that ends with its client.
// Leaves out: connections that are kept for the next request.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t requests_at_once = 8;
constexpr std::uint64_t burst = 4;

// What the server has seen.
struct records {
  std::size_t requests = 0;
  std::size_t most_in_a_second = 0;
  std::deque<std::chrono::steady_clock::time_point> last_second;

  void note() {
    const auto time = now();
    ++requests;
    last_second.push_back(time);
    while (time - last_second.front() >= 1s) last_second.pop_front();
    most_in_a_second = std::max(most_in_a_second, last_second.size());
  }
};

task<> answer(tcp_stream client, records& seen) {
  reader in(client);
  if (const auto line = co_await in.read_line()) {
    seen.note();
    const std::string reply =
        seen.requests % 4 == 0 ? "busy\n" : "done: " + std::string(*line) + "\n";
    co_await client.write_all(reply);
  }
}

task<> serve(task_group& group, tcp_listener& listener, records& seen) {
  for (;;) group.spawn(answer, co_await listener.accept(), std::ref(seen));
}

struct client {
  address server;
  rate_limiter limit;
  std::size_t refusals = 0;

  task<std::string> ask_once(std::size_t number) {
    co_await limit.acquire();
    tcp_stream stream = co_await tcp_stream::connect(server, 5s);
    const std::string request = "request " + std::to_string(number) + "\n";
    co_await stream.write_all(request);
    reader in(stream);
    const auto line = co_await in.read_line(5s);
    if (!line) throw std::system_error(make_error_code(errc::end_of_stream), "reply");
    if (*line == "busy") {
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                              "server");
    }
    co_return std::string(*line);
  }

  task<bool> ask(std::size_t number) {
    const auto once = [&] { return ask_once(number); };
    const auto note = [&](const retry_event& event) {
      ++refusals;
      std::printf("request %zu: refused, again in %lld ms\n", number,
                  static_cast<long long>(event.pause / 1ms));
    };
    const retry_policy policy{.attempts_max = 10, .budget = 60s, .pause_first = 20ms};
    const std::string reply = co_await retry(policy, once, is_system_error, note);
    co_return reply == "done: request " + std::to_string(number);
  }
};

task<> ask_all(std::size_t count, std::uint64_t rate) {
  tcp_listener listener = tcp_listener::bind("127.0.0.1:0");
  records seen;
  client one{listener.local_address(), rate_limiter({.rate = rate, .burst = burst})};
  std::vector<std::size_t> numbers(count);
  for (std::size_t i = 0; i < count; ++i) numbers[i] = i + 1;
  std::size_t answered = 0;
  const auto body = [&](task_group& group) -> task<> {
    group.spawn(serve, std::ref(group), std::ref(listener), std::ref(seen));
    pool workers(requests_at_once);
    const auto ask = [&](std::size_t number) { return one.ask(number); };
    const std::vector<bool> good = co_await workers.map(numbers, ask);
    answered = static_cast<std::size_t>(std::count(good.begin(), good.end(), true));
    group.cancel();  // the server would wait for more
  };
  co_await with_group(group_options{.on_failure = group_failure::report}, body);
  std::printf("%zu of %zu requests answered, %zu refusals, at most %zu requests in any second\n",
              answered, count, one.refusals, seen.most_in_a_second);
}

bool read_number(const char* text, std::size_t& number) {
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), number);
  return error == std::errc() && *end == '\0' && number > 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t count = 0, rate = 0;
  if (argc != 3 || !read_number(argv[1], count) || !read_number(argv[2], rate)) {
    std::fprintf(stderr, "usage: rate_limited_client REQUESTS RATE (numbers above 0)\n");
    return 2;
  }
  return run_main(ask_all(count, rate));
}
