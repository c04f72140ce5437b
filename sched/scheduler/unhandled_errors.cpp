// Unhandled errors: the default handler, which does not flood standard error.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/report.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/fiber_base.hpp>

#include <fmt/format.h>

#include <chrono>
#include <iterator>
#include <mutex>
#include <string>
#include <system_error>
#include <typeinfo>
#include <utility>

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

// Several schedulers and handles on any thread share the limit of lines.
struct printed_lines {
  void print_count() noexcept {
    if (left_out == 0) return;
    detail::report("ringlet: %llu more failures of fibers were not printed\n",
                   static_cast<unsigned long long>(left_out));
    left_out = 0;
  }

  std::mutex mutex;
  std::int64_t second = 0;
  int printed = 0;
  std::uint64_t left_out = 0;
};
constexpr int lines_per_second = 10;
constexpr std::int64_t second_in_ns = 1'000'000'000;

printed_lines& lines_of_process() {
  // Never destroyed: threads may fail after main() has returned.
  static printed_lines& lines = *new printed_lines;
  return lines;
}

// The message of the exception; empty if it only means that a peer disconnected.
std::string sentence(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& e) {
    return is_disconnect(e.code()) ? std::string() : e.what();
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is not a std::exception";
  }
}

// Where the failed fiber was spawned, such as "server.cpp:12", and the awaits that the exception
// passed.
std::string places(const unhandled_error& failure) {
  std::string text;
  if (failure.spawned_at.line() == 0) return text;
  text =
      fmt::format(" (spawned at {}:{}", failure.spawned_at.file_name(), failure.spawned_at.line());
  const char* before = "; awaited at ";
  for (const std::source_location& site : failure.awaits) {
    if (detail::is_of_library(site)) continue;
    fmt::format_to(std::back_inserter(text), "{}{}:{}", std::exchange(before, ", "),
                   site.file_name(), site.line());
  }
  return text + ')';
}

void print(const unhandled_error& failure, const std::string& what, extend::scheduler* scheduler) {
  // Failures after run(), or on a thread without a scheduler, all count in one second, number 0.
  const std::int64_t second = scheduler == nullptr ? 0 : scheduler->turn_time() / second_in_ns;
  printed_lines& lines = lines_of_process();
  const std::lock_guard lock(lines.mutex);
  if (second != lines.second) {
    lines.print_count();
    lines.second = second;
    lines.printed = 0;
  }
  if (lines.printed == lines_per_second) {
    ++lines.left_out;
    if (scheduler != nullptr) scheduler->count_failures_until((second + 1) * second_in_ns);
    return;
  }
  ++lines.printed;
  const std::string name = failure.name.empty() ? "" : fmt::format(" \"{}\"", failure.name);
  const bool is_one_of_several = scheduler != nullptr && scheduler->membership() != nullptr;
  const std::string where = is_one_of_several ? " of scheduler " + scheduler->label() : "";
  const std::string then = failure.then.empty() ? "" : fmt::format("; {}", failure.then);
  detail::report("ringlet: fiber %llu%s%s failed: %s%s%s\n",
                 static_cast<unsigned long long>(failure.id), name.c_str(), where.c_str(),
                 what.c_str(), then.c_str(), places(failure).c_str());
}

}  // namespace

void detail::report_unhandled(const unhandled_error& failure) noexcept {
  extend::scheduler* scheduler = current_scheduler_or_null();
  if (scheduler != nullptr && scheduler->settings().on_unhandled_error) {
    return scheduler->settings().on_unhandled_error(failure);
  }
  const std::string what = sentence(failure.error);
  if (what.empty()) return;
  print(failure, what, scheduler);
}

void detail::report_failure_of(const fiber_base& who, std::exception_ptr error,
                               std::string_view then) noexcept {
  report_unhandled({who.id(), who.name(), std::move(error), who.spawned_at(), {}, then});
}

void scheduler::print_count_of_failures() noexcept {
  count_due_ = never;
  printed_lines& lines = lines_of_process();
  const std::lock_guard lock(lines.mutex);
  lines.print_count();
}

}  // namespace ringlet
