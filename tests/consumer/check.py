#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the README's first program as its section "Use it" says, with its commands and files:
against an installation with pkg-config and with CMake, and as a Meson subproject.

usage: check.py SOURCE_ROOT BUILD_ROOT VERSION COMPILER...

One installation goes to a scratch folder that only this test knows: whatever the program finds
there was really installed, and the package files must work in an unexpected place. Another one,
with the shared library, goes to /usr/local, where the README's commands look for it: this script
runs itself again in its own mount namespace, in which /usr/local has nothing else. The steps that
need such a namespace are skipped where the system does not grant one.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

PREFIX = pathlib.Path("/usr/local")
LOADER_CACHE = pathlib.Path("/etc/ld.so.cache")
# The build is under test: optimised code and separate files would only take longer.
CHEAPLY = ["-Doptimization=0", "-Dunity=on"]
DEADLINE = 60  # Seconds within which a server must answer, even on a busy machine.


def run(*command, **options):
    """Runs a command and returns its output; ends the test with that output when it fails."""
    command = [str(word) for word in command]
    done = subprocess.run(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )
    if done.returncode != 0:
        sys.exit(f"failed with status {done.returncode}: {shlex.join(command)}\n{done.stdout}")
    return done.stdout


def remark(text):
    print(text, flush=True)


class Readme:
    """The commands and files in the section "Use it"."""

    def __init__(self, source, compiler):
        text = (source / "README.md").read_text()
        self.text = re.search(r"^## Use it\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)[1]
        self.compiler = shlex.join(compiler)

    def command(self, beginning):
        """The only command with this beginning, for the tested compiler, without sudo."""
        found = re.findall(rf"^    \$ (?:sudo )?({beginning}.*)$", self.text, re.MULTILINE)
        if len(found) != 1:
            sys.exit(f'README.md, "Use it": {len(found)} commands begin with {beginning}')
        return re.sub(r"^g\+\+", self.compiler, found[0])

    def file(self, language):
        return re.search(rf"^```{language}\n(.*?)^```$", self.text, re.DOTALL | re.MULTILINE)[1]

    def folder(self, path, source, *languages):
        """A folder with the program and the named files, to build in."""
        path.mkdir()
        shutil.copy(source / "examples" / "echo.cpp", path)
        for language in languages:
            name = {"cmake": "CMakeLists.txt", "meson": "meson.build"}[language]
            (path / name).write_text(self.file(language))
        return path


def shell(command, folder, **environment):
    run("sh", "-ec", command, cwd=folder, env={**os.environ, **environment})


def has_cmake():
    if shutil.which("cmake") is None:
        remark("skipped: find_package, because cmake is not installed")
        return False
    return True


def check_elsewhere(readme, source, build, scratch):
    """Against an installation from the build folder, where no tool looks by default."""
    root = scratch / "root"
    run("meson", "install", "-C", build, "--no-rebuild", "--destdir", root)
    pkg_config_dir = next(root.rglob("ringlet.pc")).parent
    folder = readme.folder(scratch / "elsewhere", source, "cmake")
    shell(readme.command(r"g\+\+"), folder, PKG_CONFIG_PATH=str(pkg_config_dir))
    if has_cmake():
        prefix = next(root.rglob("ringlet/ringlet.hpp")).parents[2]
        shell(readme.command("cmake"), folder, CXX=readme.compiler, CMAKE_PREFIX_PATH=str(prefix))


def check_subproject(readme, source, scratch):
    folder = readme.folder(scratch / "with_subproject", source, "meson")
    (folder / "subprojects").mkdir()
    (folder / "subprojects" / "ringlet").symlink_to(source)
    command = readme.command("meson setup build &&")
    setup = f"meson setup {shlex.join(CHEAPLY)} "
    shell(command.replace("meson setup ", setup, 1), folder, CXX=readme.compiler)

    targets = json.loads((folder / "build/meson-info/intro-targets.json").read_text())
    programs = [target["name"] for target in targets if target["type"] == "executable"]
    if programs != ["program"]:
        sys.exit(f"as a subproject ringlet builds more than its library: {programs}")


# In the folder that the README uses, in a namespace.

def in_namespace(*words):
    """A command that runs those words with permission to mount, in a user namespace if needed."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", "--net", *user, "--", *words]


def why_not_in_place(compiler):
    """Why this test cannot use /usr/local, or an empty string."""
    for tool in ("meson", "ninja", "cmake", "pkg-config", sys.executable, *compiler):
        if PREFIX in pathlib.Path(shutil.which(tool) or "/").resolve().parents:
            return f"{tool} is below {PREFIX}"
    mount = in_namespace("mount", "-t", "tmpfs", "tmpfs", str(PREFIX))
    with contextlib.suppress(OSError):
        done = subprocess.run(mount, text=True, capture_output=True)
        return (done.stderr.strip() or "unshare failed") if done.returncode != 0 else ""
    return "there is no unshare"


def check_in_place(readme, source, version, scratch):
    """The commands as written, with both kinds of library; the linker prefers the shared one."""
    run("mount", "-t", "tmpfs", "tmpfs", PREFIX)
    build = scratch / "build-release"
    for step in ("meson setup build-release", "meson compile", "meson install"):
        command = readme.command(step).replace("build-release", shlex.quote(str(build)))
        if step == "meson setup build-release":
            command += f" -Ddefault_library=both {shlex.join(CHEAPLY)}"
        shell(command, source, CXX=readme.compiler)

    # ldconfig replaces its cache file, which is impossible for a file that is a mount point.
    cache = scratch / "ld.so.cache"
    shell(f"{readme.command('ldconfig')} -C {shlex.quote(str(cache))}", scratch)
    run("mount", "--bind", cache, LOADER_CACHE)

    folder = readme.folder(scratch / "in_place", source, "cmake")
    shell(readme.command(r"g\+\+"), folder)
    check_program(folder / "echo", version)
    if has_cmake():
        shell(readme.command("cmake"), folder, CXX=readme.compiler)
        check_program(folder / "build" / "program", version)


def check_program(program, version):
    """The program must find the shared library and serve with it."""
    series = ".".join(version.split(".")[:2]) if version.startswith("0.") else version.split(".")[0]
    wanted = f"libringlet.so.{series} => {PREFIX}/lib/libringlet.so.{series}"
    libraries = run("ldd", program)
    if wanted not in libraries:
        sys.exit(f"{program} does not find `{wanted}`:\n{libraries}")

    set_loopback_up()
    server = subprocess.Popen([program], stderr=subprocess.PIPE, text=True)
    try:
        with connection(server) as peer:
            peer.sendall(b"hello\n")
            if peer.makefile("rb").readline() != b"hello\n":
                sys.exit(f"{program} does not echo")
    finally:
        server.kill()
        server.wait()


def set_loopback_up():
    """A new network namespace has a loopback device that is down."""
    set_flags, up = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP: netdevice(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", up))


def connection(server):
    """Connects to the port of the README's program as soon as it listens."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", 9090), timeout=DEADLINE)
        except ConnectionRefusedError:
            if server.poll() is not None or time.monotonic() > end:
                server.kill()
                sys.exit(f"the server does not listen: {server.communicate()[1]}")
            time.sleep(0.01)


def main():
    inside = sys.argv[1] == "--in-place"
    words = sys.argv[2:] if inside else sys.argv[1:]
    source, build = (pathlib.Path(word).resolve() for word in words[:2])
    version, *compiler = words[2:]
    readme = Readme(source, compiler)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        if inside:
            check_in_place(readme, source, version, scratch)
            return
        check_elsewhere(readme, source, build, scratch)
        check_subproject(readme, source, scratch)
    why_not = why_not_in_place(compiler)
    if why_not:
        remark(f"skipped: the commands that look into {PREFIX}, because {why_not}")
        return
    sys.stdout.write(run(*in_namespace(sys.executable, "-B", __file__, "--in-place", *words)))


if __name__ == "__main__":
    main()
