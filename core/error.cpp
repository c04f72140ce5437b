// The category of ringlet's own error codes.
#include <ringlet/error.hpp>

#include <string>

namespace ringlet {
namespace {

class category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "ringlet"; }

  std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
      case errc::closed:
        return "closed on this side";
      case errc::cut_short:
        return "an earlier call in this direction was cut short; the place in the stream is lost";
      case errc::timed_out:
        return "timed out";
      case errc::end_of_stream:
        return "the stream ended before all bytes had come";
      case errc::exited:
        return "the fiber was killed before it had a value";
      case errc::too_long:
        return "what came is longer than the limit allows";
    }
    return "unknown ringlet error";
  }

  std::error_condition default_error_condition(int code) const noexcept override {
    if (static_cast<errc>(code) == errc::timed_out) return std::errc::timed_out;
    return {code, *this};
  }
};

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
  if (code == make_error_code(errc::timed_out)) throw timed_out(what);
  throw std::system_error(code, what);
}

bool is_disconnect(const std::error_code& code) noexcept {
  return code == std::errc::connection_reset || code == std::errc::broken_pipe ||
         code == std::errc::connection_aborted || code == std::errc::not_connected ||
         code == errc::closed || code == errc::end_of_stream;
}

}  // namespace ringlet
