// Prints the broken rule and aborts.
#include <ringlet/assert.hpp>
#include <ringlet/detail/report.hpp>

#include <cstdlib>

namespace ringlet::detail {

void broken_rule(const char* sentence, const char* file, int line) noexcept {
  report("ringlet: %s (%s:%d)\n", sentence, file, line);
  std::abort();
}

}  // namespace ringlet::detail
