// Failures that nobody looked at: the default handler, which does not flood standard error.
#include <ringlet/detail/report.hpp>
#include <ringlet/error.hpp>
#include <ringlet/scheduler.hpp>

#include <fmt/format.h>

#include <chrono>
#include <mutex>
#include <string>
#include <system_error>
#include <typeinfo>

namespace ringlet {
namespace {

// Several schedulers and handles on any thread share the limit of lines.
struct printed_lines {
  std::mutex mutex;
  std::int64_t second = 0;
  int printed = 0;
  std::uint64_t left_out = 0;
};
constexpr int lines_per_second = 10;

// What the exception says; empty when it only says that a peer went away.
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

void print(const unobserved_error& failure, const std::string& what, std::int64_t second) {
  static printed_lines lines;
  const std::lock_guard lock(lines.mutex);
  if (second != lines.second) {
    if (lines.left_out != 0) {
      detail::report("ringlet: %llu more failures of fibers were not printed\n",
                     static_cast<unsigned long long>(lines.left_out));
    }
    lines.second = second;
    lines.printed = 0;
    lines.left_out = 0;
  }
  if (lines.printed == lines_per_second) {
    ++lines.left_out;
    return;
  }
  ++lines.printed;
  const std::string name = failure.name.empty() ? "" : fmt::format(" \"{}\"", failure.name);
  detail::report("ringlet: fiber %llu%s failed: %s\n", static_cast<unsigned long long>(failure.id),
                 name.c_str(), what.c_str());
}

}  // namespace

void report_unobserved(const unobserved_error& failure) noexcept {
  scheduler* home = current_scheduler_or_null();
  if (home != nullptr && home->settings().on_unobserved) {
    return home->settings().on_unobserved(failure);
  }
  const std::string what = sentence(failure.error);
  if (what.empty()) return;
  // Dropped after run(), or on a thread without a scheduler, it counts as one second, the zeroth.
  print(failure, what, home == nullptr ? 0 : home->turn_time() / 1'000'000'000);
}

}  // namespace ringlet
