// Whether tests can open terminals. Separate from sockets.hpp, which does not use doctest.
// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <system_error>

#include "support/sockets.hpp"

namespace ringlet::test {

/// Whether no terminal can be opened here. If so, it prints that the case is skipped, and why.
inline bool lacks_terminals() {
  try {
    terminal_pair();
    return false;
  } catch (const std::system_error& error) {
    MESSAGE("skipped: no terminal can be made here: ", std::string(error.what()),
            " (is /dev/pts mounted?)");
    return true;
  }
}

}  // namespace ringlet::test
