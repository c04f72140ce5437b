# SPDX-License-Identifier: MIT
"""Builds the programs of bench/peers with the packages of Debian, wherever else PATH leads.

A function that builds returns the version of what it used, or Missing with the names of the
packages.
"""

import os
import pathlib
import re
import shutil
import subprocess

from comparison.series import Failure
from comparison.terminal import progress

PATIENCE_S = 120  # For one run of one program; gevent takes 15 s.
BUILD_PATIENCE_S = 600
SOURCES = pathlib.Path(__file__).resolve().parent.parent / "peers"
CRATES = pathlib.Path("/usr/share/cargo/registry")
BOOST = pathlib.Path("/usr/include/boost")
BOOST_WANTED = 108100  # Debian's libboost-dev, 1.74, does not compile with g++ 12.
ENVIRONMENT = dict(os.environ, PATH=f"/usr/bin:/bin:{os.environ.get('PATH', '')}")


class Missing(str):
    """Debian packages that would have to be installed, separated by blanks."""


def said_by(command, patience=PATIENCE_S, environment=None):
    """Its standard output. Fails if it fails."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience,
                              stdin=subprocess.DEVNULL, env={**ENVIRONMENT, **(environment or {})})
    except subprocess.TimeoutExpired:
        raise Failure(f"`{' '.join(command)}` did not end within {patience} s") from None
    except OSError as error:
        raise Failure(f"cannot run {command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        raise Failure(f"`{' '.join(command)}` failed with status {done.returncode}: "
                      f"{done.stderr.strip()[-1000:] or 'it gave no reason'}")
    return done.stdout


def has(program):
    return shutil.which(program, path=ENVIRONMENT["PATH"]) is not None


def build_go(folder, *names):
    """folder/NAME_go from peers/NAME.go, for each name."""
    if not has("go"):
        return Missing("golang-go")
    for name in names:
        said_by(["go", "build", "-o", folder / f"{name}_go", SOURCES / f"{name}.go"],
                BUILD_PATIENCE_S, {"GOCACHE": str(folder / "go-cache"), "GO111MODULE": "off"})
    return said_by(["go", "version"]).strip()


def tokio_program(folder, name):
    return folder / "tokio/target/release" / f"{name}_tokio"


def build_tokio(folder, *names, features=()):
    """tokio_program(folder, NAME) from peers/NAME.rs, for each name."""
    found = sorted(CRATES.glob("tokio-[0-9]*"))
    missing = [name for name in ("rustc", "cargo") if not has(name)]
    missing += [] if found else ["librust-tokio-dev"]
    if missing:
        return Missing(" ".join(missing))
    # Cargo writes beside its Cargo.toml, and reads all sources that it names.
    copy = folder / "tokio"
    copy.mkdir(exist_ok=True)
    for source in (SOURCES / "Cargo.toml", *sorted(SOURCES.glob("*.rs"))):
        shutil.copy(source, copy)
    wanted = [word for name in names for word in ("--bin", f"{name}_tokio")]
    said_by(["cargo", "build", "--release", "--offline", "--manifest-path", copy / "Cargo.toml",
             *wanted, "--features", ",".join(features),
             "--config", 'source.crates-io.replace-with="debian"',
             "--config", f'source.debian.directory="{CRATES}"'], BUILD_PATIENCE_S,
            {"CARGO_HOME": str(copy / "home"), "CARGO_TARGET_DIR": str(copy / "target")})
    return f"{found[0].name}, {said_by(['rustc', '--version']).strip()}"


def boost_version():
    """BOOST_VERSION of the installed headers; 0 without Asio."""
    if not (BOOST / "asio.hpp").exists():
        return 0
    return int(re.search(r"#define BOOST_VERSION (\d+)", (BOOST / "version.hpp").read_text())[1])


def build_asio(folder, *names):
    """folder/NAME_asio from peers/NAME_asio.cpp, for each name."""
    missing = [] if has("g++") else ["g++"]
    version = boost_version()
    missing += [] if version >= BOOST_WANTED else ["libboost1.81-dev"]
    if missing:
        return Missing(" ".join(missing))
    for name in names:
        source, path = SOURCES / f"{name}_asio.cpp", folder / f"{name}_asio"
        if not path.exists() or path.stat().st_mtime < source.stat().st_mtime:
            said_by(["g++", "-std=c++20", "-O2", "-pthread", source, "-o", path], BUILD_PATIENCE_S)
    numbers = f"{version // 100000}.{version // 100 % 1000}"
    return f"Boost {numbers}, {said_by(['g++', '--version']).splitlines()[0]}"


def make_all(keys, makers, folder):
    """{key: what its maker returns for that folder}; a peer that misses packages is left out, with
    a line that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for key in keys:
        progress(f"building {key}")
        result = makers[key](folder)
        progress("")
        if isinstance(result, Missing):
            print(left_out(key, result))
        else:
            made[key] = result
    return made


def left_out(key, missing):
    """The line about a peer that cannot be built."""
    return f"{key} is left out: apt-get install {missing}"
