// Typing and showing lines: a terminal with a line editor, or plain streams.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/ringlet.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace chat_client {

class console {
 public:
  /// Longer lines are neither accepted nor sent.
  static constexpr std::size_t line_max = 4 * 1024;

  console() = default;
  console(const console&) = delete;
  console& operator=(const console&) = delete;
  virtual ~console() = default;

  /// Returns the next typed line, without its LF; nothing at the end of the input.
  virtual ringlet::task<std::optional<std::string>> read_line() = 0;
  /// Waits until output is possible, and shows a line from the server. One call at a time.
  virtual ringlet::task<> show(std::string line) = 0;
  /// Shows a message of the client itself.
  virtual void say(std::string_view text) = 0;
  /// Sets the prompt in front of the line being typed.
  virtual void set_prompt(std::string_view) {}
  /// Whether the server repeats typed lines to the room, and so to us: they need not appear twice.
  virtual void set_comes_back(bool) {}
  /// Restores the terminal. Afterwards lines can be shown, but not typed.
  virtual void restore() noexcept {}
};

/// Whether the input is a user at a terminal, who can be asked again.
bool is_typed_by_a_person() noexcept;

/// With an editor if input and output are terminals, otherwise plain.
std::unique_ptr<console> open_console();

/// Null if the program was built without an editor.
std::unique_ptr<console> make_editor();

}  // namespace chat_client
