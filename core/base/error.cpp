// The category of ringlet's own error codes, and the texts of thrown errors.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/error.hpp>

#include <cerrno>
#include <stdexcept>
#include <string>

namespace ringlet {
namespace {

class category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "ringlet"; }

  std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
      case errc::closed:
        return "closed by this program";
      case errc::partial_transfer:
        return "an earlier call in this direction was cut short; the position in the stream is "
               "lost";
      case errc::timed_out:
        return "timed out";
      case errc::end_of_stream:
        return "unexpected end of stream";
      case errc::fiber_cancelled:
        return "the fiber was killed before it had a value";
      case errc::too_long:
        return "the message exceeds the size limit";
      case errc::broken_barrier:
        return "the barrier is broken";
      case errc::broken_promise:
        return "the promise was destroyed before it had a value";
      case errc::lagged:
        return "the subscriber was too slow: items that it had yet to receive were overwritten";
    }
    return "unknown ringlet error";
  }

  std::error_condition default_error_condition(int code) const noexcept override {
    if (static_cast<errc>(code) == errc::timed_out) return std::errc::timed_out;
    return {code, *this};
  }
};

// what() returns only the sentence; a plain std::system_error would append the system's text.
class invalid_argument_error final : public std::system_error {
 public:
  invalid_argument_error(std::error_code code, const std::string& sentence)
      : std::system_error(code), sentence_(sentence) {}
  const char* what() const noexcept override { return sentence_.what(); }

 private:
  std::runtime_error sentence_;  // copied without throwing
};

// By number, not by condition: other categories with an equivalent of EINVAL have their own texts.
bool is_einval(const std::error_code& code) noexcept {
  return code.value() == EINVAL &&
         (code.category() == std::system_category() || code.category() == std::generic_category());
}

}  // namespace

const std::error_category& ringlet_category() noexcept {
  static const category instance;
  return instance;
}

std::error_code make_error_code(errc code) noexcept {
  return {static_cast<int>(code), ringlet_category()};
}

timed_out::timed_out(const char* what) : std::system_error(errc::timed_out, what) {}

void throw_error(std::error_code code, const char* what) {
  detail::throw_error(code, what,
                      "an argument is out of range, or the descriptor is of another kind");
}

void detail::throw_error(std::error_code code, const std::string& what, const char* reason) {
  if (is_einval(code)) throw invalid_argument_error(code, what + ": " + reason);
  if (code == make_error_code(errc::timed_out)) throw timed_out(what.c_str());
  throw std::system_error(code, what);
}

bool is_disconnect(const std::error_code& code) noexcept {
  if (code == make_error_code(errc::timed_out)) return false;  // a limit of the program
  return code == std::errc::connection_reset || code == std::errc::timed_out ||
         code == std::errc::broken_pipe || code == std::errc::connection_aborted ||
         code == std::errc::not_connected || code == errc::closed || code == errc::end_of_stream;
}

}  // namespace ringlet
