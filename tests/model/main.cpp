// The entry of the model tests. Executions that fail are abandoned and leak, so the check for leaks
// of the other test programs is not in it.
// SPDX-License-Identifier: MIT
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
