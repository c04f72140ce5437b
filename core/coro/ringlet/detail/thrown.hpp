// thrown: what an exception_ptr holds, found without throwing it where that is possible.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/cancelled.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <typeinfo>

namespace ringlet::detail {

/// The exception if its type is E itself, not a class derived from E; otherwise null. It lives as
/// long as `error`. Rethrowing would give the same answer but cost 2 microseconds of unwinding, for
/// each of perhaps ten thousand limits that expire at once.
template <class E>
const E* thrown_exactly(const std::exception_ptr& error) noexcept {
  if (error == nullptr) return nullptr;
#ifdef __GLIBCXX__
  // An exception_ptr is one pointer, to the exception; its ABI is frozen.
  static_assert(sizeof(std::exception_ptr) == sizeof(void*));
  if (*error.__cxa_exception_type() != typeid(E)) return nullptr;
  std::array<std::byte, sizeof(void*)> representation;
  std::memcpy(representation.data(), static_cast<const void*>(&error), representation.size());
  return std::bit_cast<const E*>(representation);
#else
  try {
    std::rethrow_exception(error);
  } catch (const E& thrown) {
    return typeid(thrown) == typeid(E) ? std::addressof(thrown) : nullptr;
  } catch (...) {
    return nullptr;
  }
#endif
}

/// Whether it is what a kill throws, or derives from that.
inline bool is_kill(const std::exception_ptr& error) noexcept {
  if (thrown_exactly<cancelled>(error) != nullptr) return true;
  try {
    std::rethrow_exception(error);
  } catch (const cancelled&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace ringlet::detail
