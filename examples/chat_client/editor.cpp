// A line editor on a terminal: libedit, which draws the line and remembers earlier ones.
//
// This uses libedit's own interface (editline(3)), not its readline emulation. The emulation has
// only globals and no object; it does not tell where the cursor is on the screen, which is needed
// to write above a line of several rows; and it keeps a pointer to a copy of the line that moves
// when the copy grows.
//
// libedit reads keys on demand and blocks until a key is complete: Escape may be the first byte of
// an arrow key. That must not block the thread. So the bytes are read here, after poll_fd() has
// reported them, and the editor only gets complete keys.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <fmt/format.h>

#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <deque>
#include <stdexcept>
#include <string>
#include <utility>

#include "console.hpp"
#include "text.hpp"

namespace chat_client {

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr int history_lines = 500;
// The bytes of one key arrive together, unless the connection to the terminal is slow.
constexpr auto rest_of_key = 50ms;

constexpr const char* dim = "\033[2m";
constexpr const char* plain = "\033[0m";

std::wstring widened(const std::string& text) {
  std::wstring wide(text.size(), L'\0');
  const std::size_t size = std::mbstowcs(wide.data(), text.c_str(), wide.size());
  wide.resize(size == static_cast<std::size_t>(-1) ? 0 : size);
  return wide;
}

std::string narrowed(const std::wstring& text) {
  std::string narrow(text.size() * MB_CUR_MAX, '\0');
  const std::size_t size = std::wcstombs(narrow.data(), text.c_str(), narrow.size());
  narrow.resize(size == static_cast<std::size_t>(-1) ? 0 : size);
  return narrow;
}

// Whether `bytes` end in an incomplete escape sequence: Escape alone, or one that begins with
// "Escape [" or "Escape O" and lacks its final letter.
bool ends_within_escape(const std::string& bytes) {
  const std::size_t begin = bytes.rfind('\033');
  if (begin == std::string::npos) return false;
  if (begin + 1 == bytes.size()) return true;
  if (bytes[begin + 1] != '[' && bytes[begin + 1] != 'O') return false;
  for (std::size_t i = begin + 2; i < bytes.size(); ++i) {
    if (bytes[i] >= 0x40 && bytes[i] <= 0x7e) return false;
  }
  return true;
}

class editor final : public console {
 public:
  editor();
  ~editor() override { restore(); }

  task<std::optional<std::string>> read_line() override;
  task<> show(std::string line) override;
  void say(std::string_view text) override { print(fmt::format("-- {}", text), true); }
  void set_prompt(std::string_view text) override;
  void set_comes_back(bool on) override { comes_back_ = on; }
  void restore() noexcept override;

 private:
  struct place {
    int row = 0;
    int column = 0;
  };

  static editor& of(EditLine* edit);
  static wchar_t* prompt_of(EditLine* edit) { return of(edit).prompt_.data(); }
  static int next_key(EditLine* edit, wchar_t* key);
  static unsigned char on_control_d(EditLine* edit, wint_t);
  static unsigned char on_control_z(EditLine* edit, wint_t);

  void read_bytes();
  void make_keys();
  void edit_line();
  void take_line(std::wstring line);
  void start_line();
  void suspend();
  place move(place from, std::wstring_view text) const;
  void erase_line();
  void print(const std::string& text, bool is_dim);
  void look_at_size();

  EditLine* edit_ = nullptr;  // null once restored
  HistoryW* history_ = nullptr;
  termios before_{};
  int columns_ = 80;
  bool colours_ = std::getenv("NO_COLOR") == nullptr;
  std::wstring prompt_ = L"> ";
  std::string bytes_;         // typed, not yet a complete character
  std::mbstate_t state_{};    // after the bytes that have been decoded
  std::deque<wchar_t> keys_;  // typed, not yet read by libedit
  std::deque<std::string> lines_;
  bool comes_back_ = false;
  bool ended_ = false;
  bool suspends_ = false;
};

editor::editor() {
  ::tcgetattr(0, &before_);
  edit_ = ::el_init("chat_client", stdin, stdout, stderr);
  history_ = ::history_winit();
  if (edit_ == nullptr || history_ == nullptr) throw std::runtime_error("libedit does not start");
  HistEventW event;
  ::history_w(history_, &event, H_SETSIZE, history_lines);
  ::history_w(history_, &event, H_SETUNIQUE, 1);
  ::el_wset(edit_, EL_CLIENTDATA, this);
  ::el_wset(edit_, EL_SIGNAL, 0);  // run_main() handles them
  ::el_wset(edit_, EL_EDITOR, L"emacs");
  ::el_wset(edit_, EL_HIST, &::history_w, history_);
  ::el_wset(edit_, EL_PROMPT, &editor::prompt_of);
  ::el_wset(edit_, EL_GETCFN, &editor::next_key);
  ::el_wset(edit_, EL_ADDFN, L"end-or-delete", L"Ctrl-D", &editor::on_control_d);
  ::el_wset(edit_, EL_BIND, L"^D", L"end-or-delete", nullptr);
  ::el_wset(edit_, EL_ADDFN, L"suspend", L"Ctrl-Z", &editor::on_control_z);
  ::el_wset(edit_, EL_BIND, L"^Z", L"suspend", nullptr);
  // Unbind keys that wait for another key: that would block the thread.
  ::el_wset(edit_, EL_BIND, L"-r", L"^V", nullptr);
  ::el_wset(edit_, EL_BIND, L"-r", L"^Q", nullptr);
  for (const auto& [key, what] : {std::pair{L"\\e[H", L"ed-move-to-beg"},
                                  {L"\\e[F", L"ed-move-to-end"},
                                  {L"\\e[1~", L"ed-move-to-beg"},
                                  {L"\\e[4~", L"ed-move-to-end"},
                                  {L"\\e[3~", L"ed-delete-next-char"},
                                  {L"\\e[1;5C", L"em-next-word"},
                                  {L"\\e[1;5D", L"ed-prev-word"}}) {
    ::el_wset(edit_, EL_BIND, key, what, nullptr);
  }
  look_at_size();
  start_line();
}

void editor::restore() noexcept {
  if (edit_ == nullptr) return;
  std::fputs("\r\n", stdout);
  ::el_end(std::exchange(edit_, nullptr));
  ::history_wend(history_);
  std::fflush(stdout);
  ::tcsetattr(0, TCSADRAIN, &before_);
}

editor& editor::of(EditLine* edit) {
  void* self = nullptr;
  ::el_wget(edit, EL_CLIENTDATA, &self);
  return *static_cast<editor*>(self);
}

int editor::next_key(EditLine* edit, wchar_t* key) {
  std::deque<wchar_t>& keys = of(edit).keys_;
  if (keys.empty()) return 0;
  *key = keys.front();
  keys.pop_front();
  return 1;
}

unsigned char editor::on_control_d(EditLine* edit, wint_t) {
  const LineInfoW* const line = ::el_wline(edit);
  if (line->lastchar == line->buffer) {
    of(edit).ended_ = true;
    return CC_NORM;
  }
  if (line->cursor == line->lastchar) return CC_ERROR;
  ::el_cursor(edit, 1);
  ::el_wdeletestr(edit, 1);
  return CC_REFRESH;
}

unsigned char editor::on_control_z(EditLine* edit, wint_t) {
  of(edit).suspends_ = true;
  return CC_NORM;
}

task<std::optional<std::string>> editor::read_line() {
  while (lines_.empty() && !ended_) {
    co_await poll_fd(0, POLLIN);
    co_await poll_fd(1, POLLOUT);  // not after Ctrl-S
    read_bytes();
    while (ends_within_escape(bytes_) && co_await as_result(poll_fd(0, POLLIN, rest_of_key))) {
      read_bytes();
    }
    edit_line();
  }
  if (lines_.empty()) {
    restore();
    co_return std::nullopt;
  }
  std::string line = std::move(lines_.front());
  lines_.pop_front();
  co_return line;
}

void editor::read_bytes() {
  char typed[1024];
  const auto count = ::read(0, typed, sizeof typed);
  if (count > 0) {
    bytes_.append(typed, static_cast<std::size_t>(count));
  } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
    ended_ = true;  // the terminal is gone
    bytes_.clear();
  }
}

// Drops invalid bytes; keeps an incomplete character in state_.
void editor::make_keys() {
  for (const char& byte : bytes_) {
    wchar_t key = 0;
    const std::size_t size = std::mbrtowc(&key, &byte, 1, &state_);
    if (size <= 1) keys_.push_back(key);
    if (size == static_cast<std::size_t>(-1)) state_ = {};
  }
  bytes_.clear();
}

void editor::edit_line() {
  look_at_size();
  make_keys();
  while (!keys_.empty() && !ended_) {
    int count = 0;
    const wchar_t* const line = ::el_wgets(edit_, &count);
    if (std::exchange(suspends_, false)) suspend();
    if (line == nullptr || count <= 0) continue;
    if (line[count - 1] == L'\n' || line[count - 1] == L'\r') {
      take_line(std::wstring(line, static_cast<std::size_t>(count - 1)));
    } else if (line[count - 1] == L'\4') {
      ::el_wdeletestr(edit_, 1);  // a key that waits for another one has found no more keys
    }
  }
}

void editor::take_line(std::wstring line) {
  std::string text = narrowed(line);
  if (comes_back_ && !line.empty() && line.front() != L'/') {
    const int rows = move(move({}, prompt_), line).row + 1;
    std::fputs(fmt::format("\033[{}A\r\033[J", rows).c_str(), stdout);
  }
  if (!line.empty()) {
    HistEventW event;
    ::history_w(history_, &event, H_ENTER, line.c_str());
  }
  start_line();
  if (text.size() > line_max) {
    say(fmt::format("a line of more than {} bytes was not sent", line_max));
  } else {
    lines_.push_back(std::move(text));
  }
}

// Turning this off and on clears the line and shows the prompt.
void editor::start_line() {
  std::fflush(stdout);
  ::el_wset(edit_, EL_UNBUFFERED, 0);
  ::el_wset(edit_, EL_UNBUFFERED, 1);
  // With libedit's settings Ctrl-Z would stop the program and leave the terminal unrestored. Make
  // it a key instead: on_control_z().
  termios editing{};
  ::tcgetattr(0, &editing);
  editing.c_cc[VSUSP] = _POSIX_VDISABLE;
  ::tcsetattr(0, TCSADRAIN, &editing);
}

// Suspends the program with all its fibers until it is continued; the shell takes over.
void editor::suspend() {
  termios editing{};
  ::tcgetattr(0, &editing);
  erase_line();
  std::fflush(stdout);
  ::tcsetattr(0, TCSADRAIN, &before_);
  ::kill(0, SIGTSTP);
  ::tcsetattr(0, TCSADRAIN, &editing);
  look_at_size();
  ::el_wset(edit_, EL_REFRESH);
}

// The cursor position after `text`, with line breaks as libedit places them.
editor::place editor::move(place from, std::wstring_view text) const {
  for (const wchar_t character : text) {
    int width = ::wcwidth(character);
    if (width < 0) width = 2;  // ^X
    if (from.column + width > columns_) from = {from.row + 1, 0};
    from.column += width;
    if (from.column >= columns_) from = {from.row + 1, 0};
  }
  return from;
}

void editor::erase_line() {
  const LineInfoW* const line = ::el_wline(edit_);
  const std::wstring_view before(line->buffer,
                                 static_cast<std::size_t>(line->cursor - line->buffer));
  if (const int row = move(move({}, prompt_), before).row; row > 0) {
    std::fputs(fmt::format("\033[{}A", row).c_str(), stdout);
  }
  std::fputs("\r\033[J", stdout);
}

void editor::print(const std::string& text, bool is_dim) {
  if (edit_ != nullptr) {
    look_at_size();
    erase_line();
  }
  is_dim = is_dim && colours_;
  std::fputs(fmt::format("{}{}{}\n", is_dim ? dim : "", text, is_dim ? plain : "").c_str(), stdout);
  std::fflush(stdout);
  if (edit_ != nullptr) ::el_wset(edit_, EL_REFRESH);
}

task<> editor::show(std::string line) {
  co_await poll_fd(1, POLLOUT);  // not after Ctrl-S
  print(line, without_time(line).starts_with("* "));
}

void editor::set_prompt(std::string_view text) {
  std::wstring wide = widened(std::string(text));
  if (wide == prompt_) return;
  if (edit_ != nullptr) erase_line();
  prompt_ = std::move(wide);
  if (edit_ != nullptr) ::el_wset(edit_, EL_REFRESH);
}

// Checked before every use instead of waiting for a signal.
void editor::look_at_size() {
  winsize size{};
  if (::ioctl(1, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_col == columns_) return;
  columns_ = size.ws_col;
  ::el_resize(edit_);
}

}  // namespace

std::unique_ptr<console> make_editor() { return std::make_unique<editor>(); }

}  // namespace chat_client
