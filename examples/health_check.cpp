// A periodic job with workers: tries to connect to each of many servers, once a period.
//
//     $ ./build/examples/health_check 1000 4 127.0.0.1:9092 127.0.0.1:9093
//     127.0.0.1:9092 is up
//     127.0.0.1:9093 is down
//     round 1: 1 of 2 up
//     round 2: 1 of 2 up, 3 rounds missed                          # after Ctrl-Z and fg
//     stopped after 2 rounds                                       # after Ctrl-C
//
// The numbers are the period in milliseconds and the number of workers.
//
// Shows: ticker, which keeps to its grid and counts what was missed, so that rounds neither drift
// nor pile up; pool::map(), in which 4 fibers work at once and results come in the order of the
// servers; select(), for the next tick or Ctrl-C, so that a round which has begun is completed.
// Leaves out: jobs that are longer than a period and may overlap (spawn one fiber for each).
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>
#include <vector>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr auto connect_max = 1s;

task<bool> is_up(address server) {
  const auto connection = co_await as_result(tcp_stream::connect(server, connect_max));
  co_return connection.has_value();
}

void print_changes(const std::vector<address>& servers, const std::vector<bool>& before,
                   const std::vector<bool>& now) {
  for (std::size_t i = 0; i < servers.size(); ++i) {
    if (!before.empty() && before[i] == now[i]) continue;
    std::printf("%s is %s\n", servers[i].to_string().c_str(), now[i] ? "up" : "down");
  }
}

task<> check_all(std::chrono::milliseconds period, std::size_t workers_count,
                 std::vector<std::string> names) {
  std::vector<address> servers;
  for (const std::string& name : names) servers.push_back(address::parse(name));
  pool workers(workers_count);
  ticker beat(period, missed_ticks::skip);
  std::vector<bool> before;
  for (std::uint64_t round = 1;; ++round) {
    const auto next = co_await select(shutdown_requested(), beat.next());
    if (next.index() == 0) {
      std::printf("stopped after %llu rounds\n", static_cast<unsigned long long>(round - 1));
      co_return;
    }
    const std::vector<bool> now = co_await workers.map(servers, is_up);
    print_changes(servers, before, now);
    std::printf("round %llu: %zu of %zu up", static_cast<unsigned long long>(round),
                static_cast<std::size_t>(std::ranges::count(now, true)), now.size());
    const std::uint64_t missed = std::get<1>(next) - 1;
    if (missed != 0) std::printf(", %llu rounds missed", static_cast<unsigned long long>(missed));
    std::puts("");
    std::fflush(stdout);
    before = now;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const long period = argc > 3 ? std::atol(argv[1]) : 0;
  const long workers = argc > 3 ? std::atol(argv[2]) : 0;
  if (period < 1 || workers < 1) {
    std::fprintf(stderr, "usage: health_check MILLISECONDS WORKERS ADDRESS:PORT...\n");
    return 2;
  }
  return run_main(check_all(std::chrono::milliseconds(period), static_cast<std::size_t>(workers),
                            std::vector<std::string>(argv + 3, argv + argc)));
}
