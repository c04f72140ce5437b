// resolve_error: why a name could not be resolved.
//
//     task<bool> exists(std::string host) {
//       try {
//         co_await resolve(std::move(host), "443", 5s);
//         co_return true;
//       } catch (const std::system_error& error) {
//         if (error.code() != resolve_errc::host_not_found) throw;
//         co_return false;
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <system_error>

namespace ringlet {

/// Errors of names, which have no errno. The values are those of EAI_NONAME and so on in netdb.h,
/// with one exception; a code may hold others of them, too.
enum class resolve_errc : int {
  /// EAI_NONAME: the host does not exist.
  host_not_found = -2,
  /// EAI_AGAIN: no name server has answered, or it has asked to try again later.
  temporary_failure = -3,
  /// EAI_FAIL: a name server has failed permanently.
  server_failure = -4,
  /// EAI_NODATA: the host exists, but has no address, or none of the family.
  no_address = -5,
  /// EAI_SERVICE: TCP has no service of that name.
  unknown_service = -8,
  /// No name is known for the address: see resolve_name(). Not of netdb.h.
  no_name = 1,
};

/// The category of resolve_errc; its name is "resolve".
/// Thread    Any, also one that still runs after main().
const std::error_category& resolve_category() noexcept;

/// Found by argument-dependent look-up, so that a resolve_errc converts to std::error_code.
std::error_code make_error_code(resolve_errc code) noexcept;

}  // namespace ringlet

template <>
struct std::is_error_code_enum<ringlet::resolve_errc> : std::true_type {};
