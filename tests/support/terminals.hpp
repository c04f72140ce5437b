// Whether tests can have terminals. Apart from sockets.hpp, which knows no doctest.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <system_error>

#include "support/sockets.hpp"

namespace ringlet::test {

/// Whether no terminal can be made here. Then it says that what needs one is skipped, and why.
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
