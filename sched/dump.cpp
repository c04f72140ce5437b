// Walks the registry and the chains of frames.
#include <ringlet/dump.hpp>
#include <ringlet/fiber.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <new>
#include <string_view>

namespace ringlet {
namespace {

constexpr double nanoseconds_per_second = 1e9;

void print_wait(const fiber_base& who, steady_ns now, std::string& out) {
  const wait_record& wait = who.current_wait();
  if (wait.type == nullptr) {
    out += "running";
    return;
  }
  out += wait.type->name;
  if (wait.type->describe != nullptr) {
    out += ' ';
    wait.type->describe(wait.object, out);
  }
  if (wait.since != 0) {
    fmt::format_to(std::back_inserter(out), ", for {:.3f} s",
                   static_cast<double>(now - wait.since) / nanoseconds_per_second);
  }
}

// The name of a coroutine. g++ gives that of the function which it makes of the body:
// "void NAME(NAME(ARGUMENTS)::_Z...Frame*)", of which only the inner part is worth reading.
std::string_view name_of(const frame_record& frame) {
  const std::string_view all = frame.site.function_name();
  const std::size_t end = all.rfind("::_Z");
  if (end == all.npos) return all;
  const std::string_view text = all.substr(0, end);
  // It begins behind the parenthesis that is open at its end.
  int closed = 0;
  for (std::size_t i = text.size(); i-- > 0;) {
    if (text[i] == ')') ++closed;
    if (text[i] == '(' && closed-- == 0) return text.substr(i + 1);
  }
  return all;
}

void print_chain(const fiber_base& who, std::string& out) {
  if (who.current_wait().type == nullptr || !who.has_started()) return;
  for (const frame_record* frame = who.current_wait().at; frame; frame = frame->parent) {
    if (frame->site.line() == 0) continue;  // no call: the joint below a greenlet's calls
    fmt::format_to(std::back_inserter(out), "    at {}:{} in {}\n", frame->site.file_name(),
                   frame->site.line(), name_of(*frame));
  }
}

void print_fiber(const fiber_base& who, steady_ns now, std::string& out) {
  fmt::format_to(std::back_inserter(out), "fiber {}", who.id());
  if (!who.name().empty()) fmt::format_to(std::back_inserter(out), " \"{}\"", who.name());
  out += ": ";
  print_wait(who, now, out);
  fmt::format_to(std::back_inserter(out), "\n    spawned at {}:{}", who.spawned_at().file_name(),
                 who.spawned_at().line());
  if (who.parent_id() != 0) {
    fmt::format_to(std::back_inserter(out), " by fiber {}", who.parent_id());
  }
  out += '\n';
  print_chain(who, out);
}

std::string list_fibers(scheduler& all) {
  const std::string& name = all.settings().name;
  std::string out = fmt::format("scheduler{}{}: {}, {} fibers\n", name.empty() ? "" : " ", name,
                                all.carrier().name(), all.live_fibers());
  const steady_ns time = all.now();
  all.for_each_fiber([&](const fiber_base& who) { print_fiber(who, time, out); });
  return out;
}

}  // namespace

std::string scheduler::dump() {
  try {
    return list_fibers(*this);
  } catch (const std::bad_alloc&) {
    return "(no memory)\n";  // which needs none: it is short enough
  }
}

std::string dump() { return current_scheduler().dump(); }

}  // namespace ringlet
