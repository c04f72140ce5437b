// Jobs that are done in the order of their urgency, and equally urgent ones in the order in which
// they came.
//
//     $ ./build/examples/priority 3:sweep 1:fire 2:leak 1:flood
//     1: fire
//     1: flood
//     2: leak
//     3: sweep
//
// Shows: priority_queue, with a comparator of its own, so that jobs need no operator<; that equal
// items keep their order; close() and items(), which ends when the queue is closed and empty; how
// an exception of the main task, here for text that is no job, becomes one line and status 1.
// Leaves out: a limit on the number of jobs; with one, an urgent job that waits for room does not
// overtake those that have waited longer.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <charconv>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

using namespace ringlet;

namespace {

struct job {
  int urgency;
  std::string name;
};

struct more_urgent {
  bool operator()(const job& left, const job& right) const { return left.urgency < right.urgency; }
};

using jobs_by_urgency = priority_queue<job, more_urgent>;

job parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view number = text.substr(0, colon);
  job parsed{};
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), parsed.urgency);
  if (colon == text.npos || error != std::errc() || end != number.data() + number.size()) {
    throw std::invalid_argument("not a job: '" + std::string(text) + "', use URGENCY:NAME");
  }
  parsed.name = text.substr(colon + 1);
  return parsed;
}

task<> work(jobs_by_urgency& jobs) {
  auto all = jobs.items();
  while (const auto next = co_await all.next()) {
    std::printf("%d: %s\n", next->urgency, next->name.c_str());
    co_await yield();  // stands for the work
  }
}

task<> run_jobs(std::span<char*> texts) {
  jobs_by_urgency jobs;
  for (const char* const text : texts) co_await jobs.push(parse(text));
  jobs.close();
  co_await work(jobs);
}

}  // namespace

int main(int argc, char** argv) {
  return run_main(run_jobs(std::span(argv, static_cast<std::size_t>(argc)).subspan(1)));
}
