// Staying connected, and handling typed lines.
// SPDX-License-Identifier: MIT
#include "client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <random>
#include <system_error>
#include <utility>

#include "text.hpp"

namespace chat_client {

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr auto connecting_max = 10s;
// How long the server has to receive the last lines when the client ends.
constexpr auto farewell = 1s;
// At most this many failures in a row while a nickname that was accepted before is refused, and,
// without a user at a terminal, after the end of the input.
constexpr int failures_max = 6;

}  // namespace

std::chrono::duration<double> back_off::next() {
  static std::minstd_rand random(std::random_device{}());
  const auto base = std::exchange(base_, std::min(2 * base_, longest));
  return base * std::uniform_real_distribution(0.8, 1.2)(random);
}

client::client(console& screen, address server, std::string nick, std::string room)
    : screen_(screen), server_(server) {
  self_.wants_nick = nick.empty();
  self_.nick = std::move(nick);
  self_.room = std::move(room);
}

namespace {

// A session is a group, too. Its user needs the reason for the failure, not the group_error.
std::exception_ptr first_cause(const group_error& errors) {
  std::exception_ptr cause = errors.errors().front();
  try {
    std::rethrow_exception(cause);
  } catch (const group_error& inner) {
    return first_cause(inner);
  } catch (...) {
    return cause;
  }
}

}  // namespace

task<int> client::run() {
  std::exception_ptr end;
  try {
    const auto both = [this](task_group& group) -> task<int> {
      group.spawn(read_keyboard());
      const int code = co_await stay_connected();
      group.cancel();
      co_return code;
    };
    co_return co_await with_group(both);
  } catch (const group_error& errors) {
    end = first_cause(errors);  // one message is enough
  } catch (...) {
    end = std::current_exception();  // Ctrl-C, most of the time
  }
  screen_.restore();  // first: a second signal ends the program immediately
  if (connected_) {
    // Closing with unread bytes would be a reset, which can overtake the last lines sent.
    const auto left =
        co_await as_result(shield(2 * farewell, with_timeout(farewell, session_->leave())));
    static_cast<void>(left.has_value());  // errors are ignored
  }
  std::rethrow_exception(end);
}

task<> client::read_keyboard() {
  while (auto line = co_await screen_.read_line()) {
    if (self_.wants_nick) {
      if (line->empty()) continue;
      self_.wants_nick = false;
      co_await names_.push(*std::move(line));
    } else if (is_typed_by_a_person()) {
      take(*line);  // must not wait, or the editor would stop
    } else {
      co_await out_.push(*std::move(line));
    }
  }
  names_.close();
  out_.end();
}

void client::take(const std::string& line) {
  if (line.empty()) return;
  if (!out_.try_push(line)) {
    screen_.say(fmt::format("too many lines are waiting; not sent: {}", printable(line)));
  } else if (!connected_) {
    screen_.say("kept until the server is there");
  }
}

task<int> client::stay_connected() {
  for (;;) {
    const auto begin = now();
    if (const auto code = co_await connect_and_talk()) co_return *code;
    if (now() - begin >= back_off::longest) pauses_.reset();
    if (gives_up()) co_return report_losses();
    co_await pause();
    if (gives_up()) co_return report_losses();
  }
}

task<std::optional<int>> client::connect_and_talk() {
  std::optional<tcp_stream> stream;
  std::error_code error;
  try {
    stream = co_await tcp_stream::connect(server_, connecting_max);
  } catch (const std::system_error& failure) {
    error = failure.code();
    // Retrying would not help: the message says what is wrong with the address.
    if (error == std::errc::invalid_argument) co_return fail(failure.what());
  }
  if (!stream) {
    ++failures_;
    reason_ = fmt::format("there is no server at {} ({})", server_.to_string(), error.message());
    if (was_connected_ || is_typed_by_a_person()) co_return std::nullopt;
    co_return fail(reason_ + ": start chat_server, or say --host and --port");
  }
  session_.emplace(*std::move(stream), screen_, self_, out_, names_);
  connected_ = true;
  const session::ending how = co_await session_->run();
  connected_ = false;
  was_connected_ = true;
  screen_.set_comes_back(false);
  failures_ = session_->has_talked() ? 0 : failures_ + 1;
  co_return after(how);
}

std::optional<int> client::after(session::ending how) {
  const bool asks = is_typed_by_a_person();
  switch (how) {
    case session::ending::over:
      return report_losses();
    case session::ending::hung_up:
      reason_ = "the server hung up";
      if (!session_->why().empty()) reason_ += fmt::format(" ({})", session_->why());
      return std::nullopt;
    case session::ending::does_not_answer:
      reason_ = fmt::format("what is at {} does not answer as a chat server", server_.to_string());
      return asks || self_.was_known ? std::nullopt : std::optional(fail(reason_));
    case session::ending::nick_refused:
      return after_refusal();
    case session::ending::room_refused:
      return fail(fmt::format("the room {} was refused: choose another with --room", self_.room));
    case session::ending::nobody_to_ask:
      return asks ? report_losses()
                  : fail("a nickname is needed: --nick NAME, or the first line of the input");
  }
  return 1;
}

std::optional<int> client::after_refusal() {
  reason_ = fmt::format("the nickname {} was refused", self_.nick);
  if (self_.was_known && failures_ < failures_max) return std::nullopt;
  if (!is_typed_by_a_person()) return fail(reason_ + ": choose another with --nick");
  self_.was_known = false;
  self_.nick.clear();
  self_.wants_nick = true;
  return std::nullopt;
}

task<> client::pause() {
  const auto time = pauses_.next();
  screen_.say(fmt::format("{}; trying again in {:.1f} s", reason_, time.count()));
  if (out_.has_ended()) {
    co_await sleep(time);
  } else {
    co_await out_.wait_for_end(time);  // the end of the input also ends this wait
  }
}

bool client::gives_up() const {
  if (!out_.has_ended()) return false;
  const bool is_done = out_.waiting().empty() && out_.unconfirmed().empty();
  return is_done || is_typed_by_a_person() || failures_ >= failures_max;
}

int client::report_losses() {
  for (const std::string& line : out_.unconfirmed()) {
    screen_.say(fmt::format("the server gave no sign that it took: {}", printable(line)));
  }
  if (session_ && session_->said_quit()) return out_.unconfirmed().empty() ? 0 : 1;
  for (const std::string& line : out_.waiting()) {
    screen_.say(fmt::format("not sent: {}", printable(line)));
  }
  return out_.unconfirmed().empty() && out_.waiting().empty() ? 0 : 1;
}

int client::fail(const std::string& text) {
  screen_.say(text);
  if (self_.was_known) report_losses();
  return 1;
}

}  // namespace chat_client
