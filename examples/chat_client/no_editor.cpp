// Replaces editor.cpp if libedit is not installed.
// SPDX-License-Identifier: MIT
#include "console.hpp"

namespace chat_client {

std::unique_ptr<console> make_editor() { return nullptr; }

}  // namespace chat_client
