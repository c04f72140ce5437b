// When the next attempt begins, and what its end changes.
// SPDX-License-Identifier: MIT
#include "connect_race.hpp"

#include <ringlet/as_result.hpp>
#include <ringlet/detail/host_and_service.hpp>
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/error.hpp>
#include <ringlet/now.hpp>
#include <ringlet/resolve.hpp>
#include <ringlet/with_timeout.hpp>

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <utility>

#include "why_invalid.hpp"

namespace ringlet {
namespace detail {
namespace {

constexpr std::chrono::milliseconds attempt_delay_min(10);  // RFC 8305, section 5
constexpr std::size_t attempts_most = 64;

[[noreturn]] void refuse_option(const char* name, long long value, const char* range) {
  throw std::invalid_argument("the connect option " + std::string(name) + " is " +
                              std::to_string(value) + "; it must be " + range);
}

void check_options(const connect_options& options) {
  if (options.attempt_delay < attempt_delay_min) {
    refuse_option("attempt_delay", options.attempt_delay.count(), "at least 10 ms");
  }
  if (options.resolution_delay.count() < 0) {
    refuse_option("resolution_delay", options.resolution_delay.count(), "at least 0 ms");
  }
  if (options.attempts_max == 0 || options.attempts_max > attempts_most) {
    refuse_option("attempts_max", static_cast<long long>(options.attempts_max), "from 1 to 64");
  }
}

}  // namespace

connect_race::connect_race(std::string host_and_service, const connect_options& options)
    : text_(std::move(host_and_service)), options_(options) {
  check_options(options_);
  auto parts = split_host_and_service(text_);
  host_ = std::move(parts.host);
  service_ = std::move(parts.service);
}

task<> connect_race::run() {
  const bool is_numeric = check_service(service_).has_value() && check_host(host_).has_value();
  const bool splits = !is_numeric && options_.family == address_family::any &&
                      options_.with != nullptr && options_.with->splits_families();
  if (splits) {
    lookups_ = 2;
    is_looking_up_ipv6_ = true;
  } else {
    resolve_options how;
    how.family = options_.family;
    how.with = options_.with;
    const auto found = co_await resolve(host_, service_, how);
    add(found, options_.family);
  }
  std::exception_ptr failure_of_race;  // no memory, or what a resolver throws
  try {
    co_await with_group(&connect_race::race, std::ref(*this));
  } catch (const group_error& error) {
    failure_of_race = error.errors().front();
  }
  if (failure_of_race && !winner_) std::rethrow_exception(failure_of_race);
}

task<> connect_race::race(task_group& group, connect_race& self) {
  if (self.lookups_ != 0) {
    group.spawn(&connect_race::look_up, std::ref(self), address_family::ipv6);
    group.spawn(&connect_race::look_up, std::ref(self), address_family::ipv4);
  }
  while (!self.winner_ && !self.is_lost()) {
    if (self.may_start()) {
      const address to = self.take_next();
      group.spawn(&connect_race::attempt, std::ref(self), to);
      ++self.running_;
      self.next_start_ = now() + self.options_.attempt_delay;
    } else {
      co_await self.changed_.wait(self.next_start());
    }
  }
  if (self.winner_) group.cancel();
}

task<> connect_race::look_up(connect_race& self, address_family family) {
  resolve_options how;
  how.family = family;
  how.with = self.options_.with;
  std::vector<address> found;
  try {
    found = co_await resolve(self.host_, self.service_, how);
  } catch (const std::system_error&) {
    if (!self.lookup_error_) self.lookup_error_ = std::current_exception();
  }
  --self.lookups_;
  self.add(found, family);
  self.changed_.set();
}

task<> connect_race::attempt(connect_race& self, address to) {
  auto made = co_await as_result(tcp_stream::connect(to));
  --self.running_;
  if (!made) {
    self.on_failed(to, made.error());
  } else if (!self.winner_) {
    self.winner_.emplace(std::move(*made));
  }
  self.changed_.set();
}

void connect_race::add(const std::vector<address>& found, address_family family) {
  for (const address& one : found) waiting(one.is_ipv6()).push_back(one);
  failed_.reserve(failed_.size() + running_ + count());
  if (family == address_family::ipv6) {
    is_looking_up_ipv6_ = false;
    hold_until_ = {};
    if (!found.empty() && !next_is_ipv6_) next_is_ipv6_ = true;
  } else if (is_looking_up_ipv6_) {
    hold_until_ = now() + options_.resolution_delay;
  } else if (!found.empty() && !next_is_ipv6_) {
    next_is_ipv6_ = found.front().is_ipv6();
  }
}

bool connect_race::is_lost() const noexcept {
  return running_ == 0 && lookups_ == 0 && count() == 0;
}

bool connect_race::may_start() const noexcept {
  if (count() == 0 || running_ >= options_.attempts_max) return false;
  const auto at = now();
  return at >= next_start_ && at >= hold_until_;
}

time_limit connect_race::next_start() const noexcept {
  if (count() == 0 || running_ >= options_.attempts_max) return forever;
  return std::max(next_start_, hold_until_);
}

address connect_race::take_next() noexcept {
  bool chosen = next_is_ipv6_.value_or(false);
  const bool is_avoided = is_last(chosen) && !is_last(!chosen) && !waiting(!chosen).empty();
  if (waiting(chosen).empty() || is_avoided) chosen = !chosen;
  const address to = waiting(chosen).front();
  waiting(chosen).pop_front();
  next_is_ipv6_ = !chosen;
  return to;
}

void connect_race::on_failed(const address& to, std::error_code why) {
  failed_.push_back({to, why});
  next_start_ = now();
  // Often the whole family is unreachable then. Not always: a host may have routes to private
  // networks only.
  if (why == std::errc::network_unreachable) is_last(to.is_ipv6()) = true;
}

void connect_race::throw_failure(bool in_time) {
  if (in_time && failed_.empty() && lookup_error_) std::rethrow_exception(lookup_error_);
  std::string what = "connect to \"" + text_ + '"';
  if (in_time && failed_.size() == 1) {
    const auto& [to, why] = failed_.front();
    throw_error(why, what + " at " + to.to_string(), why_invalid(to));
  }
  std::string list;
  for (const failure& one : failed_) {
    list += (list.empty() ? " (" : ", ") + one.to.to_string() + ": " + one.why.message();
  }
  if (!list.empty()) what += list + ')';
  if (!in_time) throw timed_out(what.c_str());
  throw_error(failed_.front().why, what, why_invalid(failed_.front().to));
}

}  // namespace detail

task<tcp_stream> tcp_stream::connect(std::string host_and_service, connect_options options,
                                     time_limit timeout) {
  detail::connect_race race(std::move(host_and_service), options);
  const bool in_time = co_await move_on_after(timeout, race.run());
  if (!race.winner()) race.throw_failure(in_time);
  co_return std::move(*race.winner());
}

task<tcp_stream> tcp_stream::connect(std::string host_and_service, time_limit timeout) {
  return connect(std::move(host_and_service), connect_options(), timeout);
}

}  // namespace ringlet
