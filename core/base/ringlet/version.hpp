// version: the version of ringlet that a program is compiled with.
//
// Written by hand, because it must be found in the source tree, too; tests/tidy.py compares it with
// meson.build.
#pragma once

#define RINGLET_VERSION_MAJOR 0
#define RINGLET_VERSION_MINOR 1
#define RINGLET_VERSION_PATCH 0
