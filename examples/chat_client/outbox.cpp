// Lines that wait to be sent, and lines that may not have arrived.
// SPDX-License-Identifier: MIT
#include "outbox.hpp"

#include <algorithm>
#include <utility>

namespace chat_client {

using namespace ringlet;

task<> outbox::push(std::string line) {
  while (!try_push(line)) {
    has_room_.reset();
    co_await has_room_.wait();
  }
}

bool outbox::try_push(std::string line) {
  if (waiting_.size() >= waiting_max) return false;
  waiting_.push_back(std::move(line));
  changed_.set();
  return true;
}

void outbox::end() noexcept {
  ended_.set();
  changed_.set();
}

task<const std::string*> outbox::front() {
  while (waiting_.empty() || unconfirmed_.size() >= unconfirmed_max) {
    if (waiting_.empty() && has_ended()) co_return nullptr;
    changed_.reset();
    co_await changed_.wait();
  }
  co_return &waiting_.front();
}

void outbox::sent(bool will_be_repeated) {
  if (will_be_repeated) {
    unconfirmed_.push_back(std::move(waiting_.front()));
  }
  waiting_.pop_front();
  has_room_.set();
}

void outbox::confirm(std::string_view text) {
  const auto found = std::find_if(unconfirmed_.begin(), unconfirmed_.end(),
                                  [&](const auto& line) { return text_of(line) == text; });
  if (found == unconfirmed_.end()) return;
  unconfirmed_.erase(unconfirmed_.begin(), found + 1);
  changed_.set();
}

// Which line was refused need not be known yet: the next confirmed line tells. If there are too
// many, it is the oldest, because the server answers in order.
void outbox::refused() {
  if (unconfirmed_.size() < unconfirmed_max) return;
  unconfirmed_.pop_front();
  changed_.set();
}

void outbox::send_again() {
  waiting_.insert(waiting_.begin(), std::make_move_iterator(unconfirmed_.begin()),
                  std::make_move_iterator(unconfirmed_.end()));
  unconfirmed_.clear();
}

bool is_text(std::string_view line) noexcept {
  return !line.empty() && (line.front() != '/' || line.starts_with("//"));
}

std::string_view text_of(std::string_view line) noexcept {
  return line.starts_with("//") ? line.substr(1) : line;
}

}  // namespace chat_client
