// Prints the broken rule and aborts.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/report.hpp>
#include <ringlet/extend/assert.hpp>

#include <atomic>
#include <cstdlib>

namespace ringlet::detail {
namespace {

constinit std::atomic<rule_context> context_of_rules = nullptr;

}  // namespace

void set_rule_context(rule_context describe) noexcept {
  context_of_rules.store(describe, std::memory_order_relaxed);
}

void broken_rule(const char* sentence, const char* file, int line) noexcept {
  // Reset first, because describing may itself break a rule.
  const rule_context describe = context_of_rules.exchange(nullptr, std::memory_order_relaxed);
  char who[512] = "";
  if (describe != nullptr) describe(who, sizeof who);
  if (who[0] == '\0') {
    report("ringlet: %s (%s:%d)\n", sentence, file, line);
  } else {
    report("ringlet: %s (%s) (%s:%d)\n", sentence, who, file, line);
  }
  std::abort();
}

}  // namespace ringlet::detail
