// Plain streams: pipes, files, and terminals without a line editor.
// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "console.hpp"

namespace chat_client {

using namespace ringlet;

namespace {

// Lines from the server go to standard output, for the next program in the pipe; messages of the
// client go to standard error.
class plain_console final : public console {
 public:
  task<std::optional<std::string>> read_line() override {
    for (;;) {
      const auto line = co_await as_result(lines_.read_line());
      if (line) {
        if (!*line) co_return std::nullopt;
        co_return std::string(**line);
      }
      if (line.error() != errc::too_long) throw_error(line.error(), "standard input");
      std::fprintf(stderr, "a line of more than %zu bytes was not sent\n", line_max);
    }
  }
  task<> show(std::string line) override {
    line += '\n';
    co_await output_.write_all(line);
  }
  void say(std::string_view text) override {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
  }

 private:
  standard_stream input_ = standard_input();
  standard_stream output_ = standard_output();
  reader lines_{input_, line_max};
};

// Terminals that cannot move the cursor.
bool is_dumb(const char* terminal) {
  return terminal == nullptr || *terminal == '\0' || std::string_view(terminal) == "dumb";
}

}  // namespace

bool is_typed_by_a_person() noexcept { return ::isatty(0) == 1; }

std::unique_ptr<console> open_console() {
  std::unique_ptr<console> made;
  if (is_typed_by_a_person() && ::isatty(1) == 1 && !is_dumb(std::getenv("TERM"))) {
    made = make_editor();
  }
  if (made == nullptr) made = std::make_unique<plain_console>();
  return made;
}

}  // namespace chat_client
