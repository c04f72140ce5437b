#!/usr/bin/env python3
"""Builds the echo example as a user would, three ways: against an installation with pkg-config and
with CMake, and with ringlet as a Meson subproject.

usage: check.py SOURCE_ROOT BUILD_ROOT VERSION COMPILER...

The installation goes into a scratch folder that only this test knows: what the program finds there
was really installed, and the package files must cope with a place that they were not made for.
"""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

MESON_BUILD = """\
project('consumer', 'cpp', default_options: ['cpp_std=c++20'])
executable('echo', 'echo.cpp', dependencies: dependency('ringlet'))
"""

CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.25)
project(consumer CXX)
find_package(ringlet {version} REQUIRED)
add_executable(echo echo.cpp)
target_link_libraries(echo PRIVATE ringlet::ringlet)
"""


def run(*command, **options):
    """Runs a command, and ends the test with its output when it fails. Returns its output."""
    command = [str(word) for word in command]
    done = subprocess.run(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )
    if done.returncode != 0:
        sys.exit(f"failed with status {done.returncode}: {shlex.join(command)}\n{done.stdout}")
    return done.stdout


def check_pkg_config(compiler, scratch, root):
    pkg_config_dir = next(root.rglob("ringlet.pc")).parent
    flags = run(
        "pkg-config", "--cflags", "--libs", "ringlet",
        env={**os.environ, "PKG_CONFIG_PATH": str(pkg_config_dir)},
    )  # fmt: skip
    run(*compiler, "-std=c++20", scratch / "echo.cpp", *shlex.split(flags), "-o", scratch / "echo")


def check_cmake(compiler, scratch, root, version):
    if shutil.which("cmake") is None:
        print("skipped: find_package, because cmake is not installed")
        return
    folder = scratch / "with_cmake"
    folder.mkdir()
    shutil.copy(scratch / "echo.cpp", folder)
    (folder / "CMakeLists.txt").write_text(CMAKE_LISTS.format(version=version))
    prefix = next(root.rglob("ringlet/ringlet.hpp")).parents[2]
    environment = {**os.environ, "CXX": shlex.join(compiler)}
    options = [f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF"]
    run("cmake", "-S", folder, "-B", folder / "build", *options, env=environment)
    run("cmake", "--build", folder / "build")


def check_subproject(compiler, scratch, source):
    folder = scratch / "with_subproject"
    (folder / "subprojects").mkdir(parents=True)
    shutil.copy(scratch / "echo.cpp", folder)
    (folder / "meson.build").write_text(MESON_BUILD)
    (folder / "subprojects" / "ringlet").symlink_to(source)
    # Without optimisation and in few units: what is tested is the build, and this is the whole
    # library once more.
    options = ["-Dbuildtype=plain", "-Dunity=on", "-Dunity_size=1000"]
    environment = {**os.environ, "CXX": shlex.join(compiler)}
    run("meson", "setup", folder / "build", folder, *options, env=environment)
    run("ninja", "-C", folder / "build")

    targets = json.loads((folder / "build/meson-info/intro-targets.json").read_text())
    programs = [target["name"] for target in targets if target["type"] == "executable"]
    if programs != ["echo"]:
        sys.exit(f"as a subproject ringlet builds more than its library: {programs}")


def main():
    source, build = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    version, *compiler = sys.argv[3:]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        root = scratch / "root"
        shutil.copy(source / "examples" / "echo.cpp", scratch)
        run("meson", "install", "-C", build, "--no-rebuild", "--destdir", root)
        check_pkg_config(compiler, scratch, root)
        check_cmake(compiler, scratch, root, version)
        check_subproject(compiler, scratch, source)


if __name__ == "__main__":
    main()
