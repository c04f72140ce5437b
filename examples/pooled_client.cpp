// A client with a rate limit and a pool of connections, which are kept for the next request.
//
//     $ ./build/examples/key_value_server 127.0.0.1:9092
//     $ ./build/examples/pooled_client 100 4 500 127.0.0.1:9092    # in a second terminal
//     500 of 500 requests answered, 4 connections made, 0 requests repeated
//
// The numbers are requests per second, connections and requests.
//
// Shows: rate_limiter, and a semaphore in front of a list of idle connections, both of which serve
// fibers in the order in which they came; readable() with a limit of 0, which tells that a server
// has closed an idle connection; retry(), for one that it closes just then, or in the middle of an
// answer; a connection that goes back only after a whole answer, and only if its reader holds
// nothing more, so that no answer belongs to the wrong request. Leaves out: idle connections that
// are closed after some time.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

struct connection {
  explicit connection(tcp_stream connected) : stream(std::move(connected)), in(stream) {}
  tcp_stream stream;
  reader in;  // after the stream, which must outlive it
};

class client {
 public:
  std::size_t connected = 0;
  std::size_t repeated = 0;

  client(const address& server, std::uint64_t rate, std::size_t connections_max)
      : server_(server), limit_({.rate = rate, .burst = 1}), places_(connections_max) {}

  // `request` is one line, and may be sent twice.
  task<std::string> ask(std::string request) {
    const auto once = [&] { return ask_once(request); };
    const auto count = [&](const retry_event&) { ++repeated; };
    const retry_policy policy{.attempts_max = 3, .pause_first = 20ms};
    co_return co_await retry(policy, once, is_system_error, count);
  }

 private:
  task<std::string> ask_once(const std::string& request) {
    const auto place = co_await places_.acquire();
    co_await limit_.acquire();
    auto used = co_await take();
    co_await used->stream.write_all(request, 5s);
    const auto line = co_await used->in.read_until("\n", 5s);  // fails if the answer is cut
    if (!line) throw_error(errc::end_of_stream, "answer");
    std::string answer(*line);
    const bool is_clean = used->in.peek().empty();  // what is left would answer the next request
    if (is_clean) idle_.push_back(std::move(used));
    co_return answer;
  }

  task<std::unique_ptr<connection>> take() {
    while (!idle_.empty()) {
      auto kept = std::move(idle_.back());
      idle_.pop_back();
      const bool is_closed = co_await kept->stream.readable(0s);
      if (!is_closed) co_return kept;
    }
    auto stream = co_await tcp_stream::connect(server_, 5s);
    ++connected;
    co_return std::make_unique<connection>(std::move(stream));
  }

  address server_;
  rate_limiter limit_;
  semaphore places_;
  // The warmest last. A lifo_queue is not needed: places_ makes sure that no fiber waits for one.
  std::vector<std::unique_ptr<connection>> idle_;
};

task<> ask(client& by, std::size_t number, std::size_t& answered) {
  const std::string request = "GET " + std::to_string(number) + "\n";
  const auto answer = co_await as_result(by.ask(request));
  if (answer) {
    ++answered;
  } else {
    std::printf("request %zu: %s\n", number, answer.error().message().c_str());
  }
}

task<int> ask_all(std::uint64_t rate, std::size_t connections_max, std::size_t count,
                  const char* where) {
  client one(address::parse(where), rate, connections_max);
  std::size_t answered = 0;
  const auto body = [&](task_group& requests) -> task<> {
    for (std::size_t i = 0; i < count; ++i) {
      requests.spawn(ask, std::ref(one), i, std::ref(answered));
    }
    co_return;
  };
  co_await with_group(body);
  std::printf("%zu of %zu requests answered, %zu connections made, %zu requests repeated\n",
              answered, count, one.connected, one.repeated);
  co_return answered == count ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const long rate = argc == 5 ? std::atol(argv[1]) : 0;
  const long connections = argc == 5 ? std::atol(argv[2]) : 0;
  const long requests = argc == 5 ? std::atol(argv[3]) : 0;
  if (rate < 1 || connections < 1 || requests < 1) {
    std::fprintf(stderr, "usage: pooled_client RATE CONNECTIONS REQUESTS ADDRESS:PORT\n");
    return 2;
  }
  return run_main(ask_all(static_cast<std::uint64_t>(rate), static_cast<std::size_t>(connections),
                          static_cast<std::size_t>(requests), argv[4]));
}
