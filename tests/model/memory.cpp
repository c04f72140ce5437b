// Which messages an operation may see, and where a new one goes.
// SPDX-License-Identifier: MIT
#include "model/memory.hpp"

#include <string_view>
#include <unordered_map>

namespace ringlet::model {

namespace detail {

const std::string& place_of(const std::source_location& at) {
  static std::unordered_map<std::uint64_t, std::string> known;
  const std::uint64_t key = reinterpret_cast<std::uintptr_t>(at.file_name()) * 31 +
                            (std::uint64_t{at.line()} << 12) + at.column();
  std::string& place = known[key];
  if (place.empty()) {
    const std::string_view path = at.file_name();
    place = std::string(path.substr(path.rfind('/') + 1)) + ':' + std::to_string(at.line()) + ':' +
            std::to_string(at.column());
  }
  return place;
}

location::location(number initial) : index_(explorer::here().add_location(*this)) {
  messages_.push_back({initial, explorer::here().seen(), 0, false});
  explorer::here().note_made(this);
}

location::~location() {
  explorer::here().remove_location(index_, *this);
  explorer::here().note_gone(this);
}

void location::note(const char* what, const std::string& place, number value) const {
  explorer& here = explorer::here();
  if (!here.is_tracing()) return;
  here.note(place + ' ' + what + ' ' + std::to_string(value) + " (atomic " +
            std::to_string(index_) + ')');
}

std::uint16_t location::oldest_visible(std::memory_order order) const {
  std::uint16_t oldest = messages_[explorer::here().seen().messages[index_]].position;
  if (order == std::memory_order_seq_cst) {
    oldest = std::max(oldest, messages_[last_in_order_].position);
  }
  return oldest;
}

std::vector<std::uint16_t> location::visible(std::memory_order order, bool only_unfollowed) const {
  const std::uint16_t oldest = oldest_visible(order);
  std::vector<std::uint16_t> found;
  for (std::uint16_t i = 0; i < messages_.size(); ++i) {
    if (messages_[i].position < oldest) continue;
    if (!only_unfollowed || !messages_[i].is_followed) found.push_back(i);
  }
  std::sort(found.begin(), found.end(),
            [this](std::uint16_t a, std::uint16_t b) { return is_newer(a, b); });
  return found;
}

void location::see(std::uint16_t read, std::memory_order order) {
  explorer& here = explorer::here();
  if (is_newer(read, here.seen().messages[index_])) here.seen().messages[index_] = read;
  if (acquires(order)) here.join(here.seen(), messages_[read].released);
}

number location::load(std::memory_order order, const std::source_location& at) {
  explorer& here = explorer::here();
  const std::string& place = place_of(at);
  order = here.order_at(place, site::kind::load, order);
  here.step_with(order);
  here.check_exists(this);
  const std::vector<std::uint16_t> choices = visible(order, false);
  const std::uint16_t read = choices[here.is_running() ? here.choose_stale(choices.size()) : 0];
  see(read, order);
  note("loads", place, messages_[read].value);
  return messages_[read].value;
}

void location::store(number value, std::memory_order order, const std::source_location& at) {
  explorer& here = explorer::here();
  const std::string& place = place_of(at);
  order = here.order_at(place, site::kind::store, order);
  here.step_with(order);
  here.check_exists(this);
  // After any of these; after the newest one first.
  const std::vector<std::uint16_t> choices = visible(order, true);
  const std::uint16_t before = choices[here.is_running() ? here.choose_stale(choices.size()) : 0];
  insert(value, static_cast<std::uint16_t>(messages_[before].position + 1), order);
  note("stores", place, value);
}

std::uint16_t location::insert(number value, std::uint16_t position, std::memory_order order) {
  explorer& here = explorer::here();
  for (message& each : messages_) {
    if (each.position >= position) ++each.position;
  }
  const auto added = static_cast<std::uint16_t>(messages_.size());
  view released;
  released.messages[index_] = added;
  messages_.push_back({value, released, position, false});
  here.seen().messages[index_] = added;
  if (releases(order)) messages_[added].released = here.seen();
  if (order == std::memory_order_seq_cst && is_newer(added, last_in_order_)) {
    last_in_order_ = added;
  }
  if (here.is_running()) ++here.seen().times[static_cast<std::size_t>(here.thread())];
  return added;
}

}  // namespace detail

mutex::mutex() { detail::explorer::here().note_made(this); }

mutex::~mutex() {
  if (is_locked_ && detail::explorer::here().is_running()) {
    detail::explorer::here().fail("a mutex is destroyed that is locked");
  }
  detail::explorer::here().note_gone(this);
}

void mutex::lock() {
  detail::explorer& here = detail::explorer::here();
  if (!here.is_running()) return;
  here.check_exists(this);
  here.block([this] { return !is_locked_; }, "a mutex");
  is_locked_ = true;
  here.count_lock(1);
  if (orders_) here.join(here.seen(), released_);
}

void mutex::unlock() {
  detail::explorer& here = detail::explorer::here();
  if (!here.is_running()) return;
  here.step();
  here.check_exists(this);
  released_ = here.seen();
  is_locked_ = false;
  here.count_lock(-1);
  ++here.seen().times[static_cast<std::size_t>(here.thread())];
}

void wakeup::notify() {
  detail::explorer::here().step();
  ++count_;
  detail::explorer::here().note("notifies");
}

void wakeup::wait(const char* why) {
  detail::explorer::here().block([this] { return count_ != taken_; }, why);
  taken_ = count_;
  detail::explorer::here().note("was notified");
}

}  // namespace ringlet::model
