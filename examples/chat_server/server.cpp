// Names, rooms, and members that do not keep up.
// SPDX-License-Identifier: MIT
#include "server.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace chat {

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr auto watch_interval = 100ms;
// The system sends keepalive probes after this long without a packet from a member. Otherwise a
// member whose machine is gone would keep its name and its slot.
constexpr auto keep_alive = 60s;

// Sends one line and closes. Reads what the peer still sends: with unread bytes, closing would be a
// reset, which may overtake the line.
task<> refuse(tcp_stream peer) {
  const line refusal = make_line("* goodbye: the server is full; try again later");
  co_await peer.write_all(without_time(refusal));
  peer.shutdown_write();
  while (co_await peer.receive()) continue;
}

task<> turn_away(tcp_stream& peer) {
  const auto refused = co_await as_result(with_timeout(1s, refuse(std::move(peer))));
  static_cast<void>(refused.has_value());  // the peer may be gone already
}

}  // namespace

task<> server::serve(tcp_stream peer) {
  if (closing_) co_return;  // accepted just before
  if (present_count_ >= limits_.members) {
    co_await turn_away(peer);
    co_return;
  }
  peer.set_keep_alive(keep_alive);
  member who(*this, std::move(peer));
  co_await with_group([&who](task_group& both) { return who.serve(both); });
}

task<> server::watch() {
  for (;;) {
    somebody_watched_.reset();
    if (watched_.empty()) co_await somebody_watched_.wait();
    co_await sleep(watch_interval);
    const auto now = ringlet::now();
    // A check may dismiss a member, which can add other members to the list.
    for (member* const each : std::vector<member*>(watched_.begin(), watched_.end())) {
      if (!each->look_after(now)) watched_.erase(each);
    }
  }
}

task<> server::close(std::string_view reason) {
  closing_ = true;
  for (member* each = present_.next(nullptr); each != nullptr; each = present_.next(each)) {
    each->dismiss(reason);
  }
  co_await nobody_left_.wait();
}

void server::add(member& who) noexcept {
  present_.push_back(who);
  ++present_count_;
  nobody_left_.reset();
}

void server::remove(member& who) noexcept {
  watched_.erase(&who);
  who.unlink();
  if (--present_count_ == 0) nobody_left_.set();
}

void server::strike_out(const member& who) noexcept {
  const auto found = names_.find(who.name());
  if (found != names_.end() && *found == &who) names_.erase(found);
}

member* server::find(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : *found;
}

bool server::by_name::operator()(const member* a, const member* b) const noexcept {
  return a->name() < b->name();
}
bool server::by_name::operator()(const member* a, std::string_view b) const noexcept {
  return a->name() < b;
}
bool server::by_name::operator()(std::string_view a, const member* b) const noexcept {
  return a < b->name();
}

room* server::find_room(std::string_view name) {
  if (const auto found = rooms_.find(name); found != rooms_.end()) return &found->second;
  if (rooms_.size() >= limits_.rooms) {
    const auto left = std::find_if(rooms_.begin(), rooms_.end(),
                                   [](const auto& each) { return each.second.members().empty(); });
    if (left == rooms_.end()) return nullptr;
    rooms_.erase(left);
  }
  return &rooms_.try_emplace(std::string(name), name, limits_.history).first->second;
}

void server::keep_an_eye_on(member& who) {
  watched_.insert(&who);
  somebody_watched_.set();
}

}  // namespace chat
