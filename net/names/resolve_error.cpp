// The category of the errors of names.
// SPDX-License-Identifier: MIT
#include <ringlet/resolve_error.hpp>

#include <netdb.h>

#include <string>

namespace ringlet {
namespace {

static_assert(static_cast<int>(resolve_errc::host_not_found) == EAI_NONAME);
static_assert(static_cast<int>(resolve_errc::temporary_failure) == EAI_AGAIN);
static_assert(static_cast<int>(resolve_errc::server_failure) == EAI_FAIL);
static_assert(static_cast<int>(resolve_errc::no_address) == EAI_NODATA);
static_assert(static_cast<int>(resolve_errc::unknown_service) == EAI_SERVICE);

class category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "resolve"; }

  std::string message(int code) const override {
    switch (static_cast<resolve_errc>(code)) {
      case resolve_errc::host_not_found:
        return "the host does not exist";
      case resolve_errc::temporary_failure:
        return "no name server has answered; try again later";
      case resolve_errc::server_failure:
        return "the name server has failed";
      case resolve_errc::no_address:
        return "the host has no address of this kind";
      case resolve_errc::unknown_service:
        return "TCP has no service of this name";
      case resolve_errc::no_name:
        return "the address has no name";
    }
    return ::gai_strerror(code);
  }
};

// Not destroyed: a lookup may end after main() has.
union immortal {
  constexpr immortal() noexcept : instance() {}
  ~immortal() {}
  category instance;
};
constinit const immortal the_category;

}  // namespace

const std::error_category& resolve_category() noexcept { return the_category.instance; }

std::error_code make_error_code(resolve_errc code) noexcept {
  return {static_cast<int>(code), resolve_category()};
}

}  // namespace ringlet
