// dump(): walks the registry of fibers and their chains of frames.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/holders.hpp>
#include <ringlet/detail/on_behalf_of.hpp>
#include <ringlet/detail/open_group.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/extend/timed_scope.hpp>
#include <ringlet/fiber.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ringlet {
using namespace extend;

namespace {

constexpr double nanoseconds_per_second = 1e9;

thread_local constinit const fiber_base* described_instead = nullptr;

double seconds(steady_ns time) { return static_cast<double>(time) / nanoseconds_per_second; }

void print_name(const fiber_base& who, std::string& out) {
  fmt::format_to(std::back_inserter(out), "fiber {}", who.id());
  if (!who.name().empty()) fmt::format_to(std::back_inserter(out), " \"{}\"", who.name());
}

std::string description_of(const fiber_base& who) {
  std::string text;
  const wait_record& wait = who.current_wait();
  if (wait.type != nullptr && wait.type->describe != nullptr) {
    wait.type->describe(wait.object, text);
  }
  if (const fiber_base* const holder = detail::holder_awaited_by(who)) {
    text += text.empty() ? "held by " : ", held by ";
    print_name(*holder, text);
  }
  return text;
}

// The shortest and the longest of the times of several fibers.
struct range {
  steady_ns least = never;
  steady_ns most = 0;

  bool is_empty() const noexcept { return least == never; }
  void add(steady_ns time) noexcept {
    least = std::min(least, time);
    most = std::max(most, time);
  }
  std::string text() const {
    const std::string longest = fmt::format("{:.3f} s", seconds(most));
    const std::string shortest = fmt::format("{:.3f}", seconds(least));
    return longest.starts_with(shortest + ' ') ? longest : shortest + " to " + longest;
  }
};

// The deadline of each scope that has a limit. Scopes do not store it; their timers do.
class scope_limits {
 public:
  explicit scope_limits(extend::scheduler& scheduler) {
    scheduler.timers().for_each_armed(
        [&](const timer_entry& armed, timer_entry::handler kind, steady_ns deadline) {
          if (const scope* limited = timed_scope::of(armed, kind)) all_.emplace(limited, deadline);
        });
  }

  struct around {
    steady_ns limit = never;   // the nearest that can end the fiber's calls
    steady_ns shield = never;  // of the innermost shield, which holds back the scopes around it
  };
  around of(const fiber_base& who) const {
    around found;
    if (all_.empty()) return found;
    // Ending the call that opened a group also ends the group's fibers.
    for (const scope* s = who.innermost_scope(); s != nullptr;
         s = detail::open_group::outer_of(*s)) {
      const auto limited = all_.find(s);
      const steady_ns deadline = limited != all_.end() ? limited->second : never;
      if (s->holds_back()) {
        found.shield = deadline;
        break;
      }
      found.limit = std::min(found.limit, deadline);
    }
    return found;
  }

 private:
  std::unordered_map<const scope*, steady_ns> all_;
};

// Fibers that are printed as one entry because they do the same thing.
struct entry {
  static constexpr std::size_t ids_max = 5;

  explicit entry(const fiber_base& shown) : first(&shown), what(description_of(shown)) {}

  void add(const fiber_base& who, const scope_limits::around& limits, steady_ns now) {
    if (count++ < ids_max) fmt::format_to(std::back_inserter(ids), ", {}", who.id());
    has_one_parent = has_one_parent && who.parent_id() == first->parent_id();
    if (limits.limit != never) limit.add(std::max<steady_ns>(limits.limit - now, 0));
    if (limits.shield != never) shield.add(std::max<steady_ns>(limits.shield - now, 0));
    const wait_record& wait = who.current_wait();
    if (wait.type == nullptr) return;
    if (wait.since != 0) since.add(now - wait.since);
    if (who.limit() != never) left.add(std::max<steady_ns>(who.limit() - now, 0));
  }

  const fiber_base* first;
  std::string what;  // what it waits for
  bool waits_for_others = false;
  bool has_one_parent = true;
  std::size_t count = 0;
  std::string ids;
  range since;
  range left;
  range limit;   // time left of the limits around its calls
  range shield;  // time left of the shields around it
};

void print_wait(const entry& one, std::string& out) {
  const wait_record& wait = one.first->current_wait();
  if (wait.type == nullptr) {
    out += "running";
    return;
  }
  out += wait.type->name;
  if (!one.what.empty()) out += ' ' + one.what;
  if (one.waits_for_others) out += " and others";
  if (!one.since.is_empty()) out += ", for " + one.since.text();
  if (!one.left.is_empty()) out += ", " + one.left.text() + " left";
}

// The name of a coroutine. g++ reports the function that it generates for the body:
// "void NAME(NAME(ARGUMENTS)::_Z...Frame*)", of which only the inner part is worth printing.
std::string_view name_of(const frame_record& frame) {
  const std::string_view all = frame.site.function_name();
  const std::size_t end = all.rfind("::_Z");
  if (end == all.npos) return all;
  const std::string_view text = all.substr(0, end);
  // The name begins after the parenthesis that is still open at its end.
  int closed = 0;
  for (std::size_t i = text.size(); i-- > 0;) {
    if (text[i] == ')') ++closed;
    if (text[i] == '(' && closed-- == 0) return text.substr(i + 1);
  }
  return all;
}

bool is_printed(const frame_record& frame) {
  return frame.site.line() != 0;  // line 0: the joint below a greenlet's calls
}

const frame_record* chain_of(const fiber_base& who) {
  return who.current_wait().type == nullptr || !who.has_started() ? nullptr : who.current_wait().at;
}

void print_chain(const fiber_base& who, std::string& out) {
  bool has_own = false;
  for (const frame_record* f = chain_of(who); f != nullptr; f = f->parent) {
    has_own = has_own || (is_printed(*f) && !detail::is_of_library(f->site));
  }
  for (const frame_record* f = chain_of(who); f != nullptr; f = f->parent) {
    if (!is_printed(*f) || (has_own && detail::is_of_library(f->site))) continue;
    fmt::format_to(std::back_inserter(out), "    at {}:{} in {}\n", f->site.file_name(),
                   f->site.line(), name_of(*f));
  }
}

void print_entry(const entry& one, std::string& out) {
  const fiber_base& who = *one.first;
  if (one.count == 1) {
    print_name(who, out);
  } else {
    fmt::format_to(std::back_inserter(out), "{} fibers ({}{})", one.count, one.ids.substr(2),
                   one.count > entry::ids_max ? ", ..." : "");
  }
  out += ": ";
  print_wait(one, out);
  if (!one.limit.is_empty()) out += ", within a limit with " + one.limit.text() + " left";
  if (!one.shield.is_empty()) out += ", in a shield with " + one.shield.text() + " left";
  fmt::format_to(std::back_inserter(out), "\n    spawned at {}:{}", who.spawned_at().file_name(),
                 who.spawned_at().line());
  if (!one.has_one_parent) {
    out += " by several fibers";
  } else if (who.parent_id() != 0) {
    fmt::format_to(std::back_inserter(out), " by fiber {}", who.parent_id());
  }
  out += '\n';
  print_chain(who, out);
}

template <class T>
void append_bytes(std::string& key, const T& value) {
  key.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_place(std::string& key, const std::source_location& place) {
  append_bytes(key, place.file_name());
  append_bytes(key, place.line());
  append_bytes(key, place.column());
}

// Equal for fibers that do the same thing, possibly with different objects.
std::string key_of(const fiber_base& who, const scope_limits::around& limits) {
  std::string key;
  append_bytes(key, who.current_wait().type);
  append_bytes(key, who.limit() != never);
  append_bytes(key, limits.limit != never);
  append_bytes(key, limits.shield != never);
  append_place(key, who.spawned_at());
  for (const frame_record* f = chain_of(who); f != nullptr; f = f->parent) {
    append_place(key, f->site);
  }
  return key;
}

// Groups of fibers that are alike, ordered by the oldest fiber of each.
using alike = std::vector<std::vector<const fiber_base*>>;

alike sort(extend::scheduler& scheduler, const scope_limits& limits) {
  alike all;
  std::unordered_map<std::string, std::size_t> places;
  scheduler.fibers().for_each([&](const fiber_base& who) {
    std::size_t place = all.size();
    if (who.name().empty()) {
      place = places.try_emplace(key_of(who, limits.of(who)), place).first->second;
    }
    if (place == all.size()) all.emplace_back();
    all[place].push_back(&who);
  });
  return all;
}

constexpr std::size_t told_apart_max = 3;

void add_entries(const std::vector<const fiber_base*>& group, const scope_limits& limits,
                 steady_ns now, std::vector<entry>& all) {
  const std::size_t begin = all.size();
  for (const fiber_base* who : group) {
    if (group.size() > told_apart_max) {
      if (all.size() == begin) all.emplace_back(*who);
      entry& one = all.back();
      one.waits_for_others = one.waits_for_others || description_of(*who) != one.what;
      one.add(*who, limits.of(*who), now);
      continue;
    }
    const std::string what = description_of(*who);
    const auto same = std::find_if(all.begin() + static_cast<std::ptrdiff_t>(begin), all.end(),
                                   [&](const entry& one) { return one.what == what; });
    entry& one = same != all.end() ? *same : all.emplace_back(*who);
    one.add(*who, limits.of(*who), now);
  }
}

// The directory of `path`, with its trailing slash.
std::string_view directory_of(std::string_view path) {
  return path.substr(0, path.rfind('/') + 1);  // npos + 1 is 0
}

// How busy it is, and what other threads ask of it.
void print_activity(extend::scheduler& all, std::string& out) {
  const std::size_t ready = all.count();
  const engine_statistics& past = all.engine().statistics();
  if (ready == 0 && past.posts == 0) return;
  fmt::format_to(std::back_inserter(out), "    {} ready; {} posts, {} wake-ups\n", ready,
                 past.posts, past.wakes);
}

std::string list_fibers(extend::scheduler& all, const dump_options& how) {
  std::vector<entry> entries;
  const steady_ns time = all.now();
  const scope_limits limits(all);
  for (const auto& group : sort(all, limits)) add_entries(group, limits, time, entries);
  const std::string& name = all.settings().name;
  const std::size_t count = all.fibers().count();
  std::string out = fmt::format("scheduler{}{}: {}, {} fiber{}", name.empty() ? "" : " ", name,
                                all.engine().name(), count, count == 1 ? "" : "s");
  if (entries.size() > how.entries_max) {
    fmt::format_to(std::back_inserter(out), ", the first {} of {} entries", how.entries_max,
                   entries.size());
    entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(how.entries_max), entries.end());
  }
  out += '\n';
  print_activity(all, out);
  for (const entry& one : entries) print_entry(one, out);
  return out;
}

}  // namespace

const fiber_base* detail::holder_awaited_by(const fiber_base& who) noexcept {
  const wait_record& wait = who.current_wait();
  if (wait.type == nullptr || wait.type->holder == nullptr) return nullptr;
  return static_cast<const fiber_base*>(wait.type->holder(wait.object));
}

bool detail::can_time_out(const fiber_base& who) {
  return who.limit() != never || scope_limits(who.scheduler()).of(who).limit != never;
}

std::string detail::list_of(std::span<const fiber_base* const> fibers) {
  std::string out;
  for (const fiber_base* who : fibers) {
    const scope_limits limits(who->scheduler());
    entry one(*who);
    one.add(*who, limits.of(*who), who->scheduler().now());
    print_entry(one, out);
  }
  return out;
}

bool detail::is_of_library(const std::source_location& place) noexcept {
  const std::string_view file = place.file_name();
  if (file.ends_with(".hpp")) {
    const std::string_view directory = directory_of(file);
    return directory.ends_with("/ringlet/") || directory.ends_with("/ringlet/extend/") ||
           directory.ends_with("/ringlet/detail/");
  }
  // The sources of all components are below the folder that contains this file's layer.
  constexpr std::string_view here = "sched/scheduler/dump.cpp";
  std::string_view root = std::source_location::current().file_name();
  if (!root.ends_with(here)) return false;
  root.remove_suffix(here.size());
  if (!file.starts_with(root)) return false;
  const std::string_view path = file.substr(root.size());
  return path.starts_with("core/") || path.starts_with("sched/") || path.starts_with("net/");
}

const fiber_base* detail::describe_instead(const fiber_base* who) noexcept {
  return std::exchange(described_instead, who);
}

// Names the fiber and the innermost await that was suspended and has not returned. In a fiber with
// greenlets it names no await: the calls of a dropped greenlet may be gone.
void detail::describe_running(char* text, std::size_t size) noexcept {
  const extend::scheduler* const here = current_scheduler_or_null();
  if (here == nullptr || here->is_left_behind()) return;
  const fiber_base* const shown_fiber =
      described_instead != nullptr ? described_instead : here->running();
  if (shown_fiber == nullptr) return;
  const fiber_base& who = *shown_fiber;
  const auto begin = [&] {
    return who.name().empty()
               ? fmt::format_to_n(text, size - 1, "in fiber {}", who.id())
               : fmt::format_to_n(text, size - 1, "in fiber {} \"{}\"", who.id(), who.name());
  }();
  *begin.out = '\0';
  if (who.has_greenlets()) return;
  const frame_record* shown = who.current_wait().at;
  while (shown != nullptr && (shown->site.line() == 0 || is_of_library(shown->site))) {
    shown = shown->parent;
  }
  if (shown == nullptr) return;
  const auto rest = static_cast<std::size_t>(text + size - 1 - begin.out);
  *fmt::format_to_n(begin.out, rest, ", at {}:{}", shown->site.file_name(), shown->site.line())
       .out = '\0';
}

std::string scheduler::dump(const dump_options& how) {
  try {
    return list_fibers(*this, how);
  } catch (const std::bad_alloc&) {
    return "(no memory)\n";  // short enough to need no allocation
  }
}

std::string scheduler::dump() { return dump(dump_options()); }

std::string dump() { return current_scheduler().dump(); }

std::string dump(const dump_options& how) { return current_scheduler().dump(how); }

}  // namespace ringlet
