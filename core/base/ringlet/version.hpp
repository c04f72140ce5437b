// version: the version of ringlet that a program is compiled with.
//
// Written by hand, because it must be found in the source tree, too; tools/tidy.py compares it with
// meson.build.
//
//     static_assert(RINGLET_VERSION_MAJOR == 0 && RINGLET_VERSION_MINOR >= 1, "needs ringlet 0.1");
// SPDX-License-Identifier: MIT
#pragma once

/// Until 1.0, a change of MINOR may change any interface.
#define RINGLET_VERSION_MAJOR 0
/// See RINGLET_VERSION_MAJOR.
#define RINGLET_VERSION_MINOR 1
/// A change of PATCH changes no interface.
#define RINGLET_VERSION_PATCH 0
