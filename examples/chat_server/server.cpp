// Names, rooms, and looking after those who do not keep up.
#include "server.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace chat {

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr auto watch_interval = 100ms;

// One line, and the end. What the peer says meanwhile is read, or closing would be a reset, which
// may overtake the line.
task<> refuse(tcp_stream peer) {
  const line refusal = make_line("* goodbye: the server is full; try again later");
  co_await peer.write_all(without_time(refusal));
  peer.shutdown_write();
  while (co_await peer.receive()) continue;
}

task<> turn_away(tcp_stream peer) {
  const auto refused = co_await as_result(with_timeout(1s, refuse(std::move(peer))));
  static_cast<void>(refused.has_value());  // the peer may be gone already
}

}  // namespace

// A member is known from here to the end of its connection.
class server::presence {
 public:
  presence(server& home, member& who) : home_(home), who_(who) {
    home_.present_.insert(&who_);
    home_.nobody_left_.reset();
  }
  presence(const presence&) = delete;
  presence& operator=(const presence&) = delete;
  ~presence() {
    home_.watched_.erase(&who_);
    home_.present_.erase(&who_);
    if (home_.present_.empty()) home_.nobody_left_.set();
  }

 private:
  server& home_;
  member& who_;
};

task<> server::serve(tcp_stream peer) {
  if (closing_) co_return;  // accepted just before
  if (present_.size() >= limits_.members) {
    co_await turn_away(std::move(peer));
    co_return;
  }
  member who(*this, std::move(peer));
  const presence known(*this, who);
  co_await with_group([&who](task_group& both) { return who.serve(both); });
}

task<> server::watch() {
  for (;;) {
    somebody_watched_.reset();
    if (watched_.empty()) co_await somebody_watched_.wait();
    co_await sleep(watch_interval);
    const auto now = member::clock::now();
    // A look may end in a dismissal, after which others are looked at, too.
    for (member* const each : std::vector<member*>(watched_.begin(), watched_.end())) {
      if (!each->look_after(now)) watched_.erase(each);
    }
  }
}

task<> server::close(std::string_view reason) {
  closing_ = true;
  for (member* const each : std::vector<member*>(present_.begin(), present_.end())) {
    each->dismiss(reason);
  }
  co_await nobody_left_.wait();
}

bool server::take_name(std::string_view name, member& who) {
  return names_.try_emplace(std::string(name), &who).second;
}

member* server::find(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : found->second;
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
