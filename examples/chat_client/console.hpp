// Where lines are typed and shown: a terminal with a line editor, or plain streams.
#pragma once

#include <ringlet/ringlet.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace chat_client {

class console {
 public:
  /// A line that is longer is neither accepted nor sent.
  static constexpr std::size_t line_max = 4 * 1024;

  console() = default;
  console(const console&) = delete;
  console& operator=(const console&) = delete;
  virtual ~console() = default;

  /// The next line that is typed, without its end; nothing at the end of the input.
  virtual ringlet::task<std::optional<std::string>> read_line() = 0;
  /// Shows a line that came from the server, and waits until it can be shown. One call at a time.
  virtual ringlet::task<> show(std::string line) = 0;
  /// Shows a sentence of the client itself.
  virtual void say(std::string_view text) = 0;
  /// What stands before the line that is being typed.
  virtual void set_prompt(std::string_view) {}
  /// Whether the server shows to the room, and so to us, what is typed: it need not be seen twice.
  virtual void set_comes_back(bool) {}
  /// Puts the terminal back as it was. Lines can be shown afterwards, but not be typed.
  virtual void restore() noexcept {}
};

/// Whether a person types, and can be asked again.
bool is_typed_by_a_person() noexcept;

/// With an editor where there is a terminal to both sides of us, and plain otherwise.
std::unique_ptr<console> open_console();

/// Null when the program was built without one.
std::unique_ptr<console> make_editor();

}  // namespace chat_client
