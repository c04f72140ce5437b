// cancelled: what ends the calls of a fiber that was killed.
//
//     std::exception_ptr end;
//     try {
//       co_await transfer(file);
//     } catch (const cancelled&) {
//       end = std::current_exception();
//     }
//     if (end) {
//       remove_partial(file);
//       std::rethrow_exception(end);
//     }
// SPDX-License-Identifier: MIT
#pragma once

namespace ringlet {

/// Thrown at a wait of a fiber that was killed, or inside a cancelled scope.
///
/// Not a std::exception, so that handlers of errors let it pass. Catch it (or `...`) only to clean
/// up, and rethrow it: the callers rely on it.
class cancelled {
 public:
  /// `source` is the cancelled scope, or null for a kill.
  explicit cancelled(const void* source = nullptr) noexcept : source_(source) {}
  /// Whether the scope `source` is the reason.
  bool from(const void* source) const noexcept { return source != nullptr && source_ == source; }

 private:
  const void* source_;
};

}  // namespace ringlet
