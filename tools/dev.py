#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `./dev COMMAND` does once `dev` has installed the packages. The text of a command is what
`./dev COMMAND --help` prints."""

import inspect
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

# Each layer and each program in one unit: it takes a fifth of the time, and no longer than some of
# the files take alone. (All files in one: Meson 1.0 fails where there are exactly two.)
IN_UNITS = ["-Dunity=on", "-Dunity_size=1000"]
ENGINES = os.environ.get("RINGLET_ENGINES", "uring epoll").split()
FUZZ_TARGETS = ["address", "engine", "frame", "reader"]
LAYERS = ["core", "sched", "net"]
SOURCES = [*LAYERS, "examples", "bench", "tests"]
MATRIX = [
    "gcc-O0", "gcc-O1", "gcc-O2", "gcc-asan", "gcc-tsan",
    "clang-O0", "clang-O1", "clang-O2", "clang-asan", "clang-tsan", "clang-fuzz",
    "gcc-release", "clang-release",
]  # fmt: skip


class Failed(Exception):
    """Ends the program with this message and status."""

    def __init__(self, message="", status=1):
        super().__init__(message)
        self.status = status


def run(*command, **options):
    status = subprocess.run(command, **options).returncode
    if status != 0:
        raise Failed(status=status)


def fresh(folder):
    """Makes an empty folder. What `dev` made has a file dev-options; nothing else is removed."""
    if (folder / "dev-options").exists():
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise Failed(
            f"dev: {folder} is in the way and was not made by dev: move it, then try again")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dev-options").write_text("unfinished\n")


def configure(folder, compiler, *options, **streams):
    """Once, and again when the compiler or the options change. A build folder that was set up by
    hand is used as it is."""
    folder = pathlib.Path(folder)
    wanted = " ".join([compiler, *options]) + "\n"
    is_ready = (folder / "build.ninja").exists()
    if (folder / "dev-options").exists():
        if is_ready and (folder / "dev-options").read_text() == wanted:
            return
        print(f"{folder}: set up again", file=sys.stderr, flush=True)
    elif is_ready:
        return
    fresh(folder)
    # Meson looks for ccache only when it chooses the compiler itself.
    if shutil.which("ccache"):
        compiler = "ccache " + compiler.removeprefix("ccache ")
    run("meson", "setup", folder, "-Dwerror=true", *options,
        env={**os.environ, "CXX": compiler}, **streams)  # fmt: skip
    (folder / "dev-options").write_text(wanted)


def build_normally(*targets):
    # The tests themselves are optimised in the matrix only, and each header is compiled alone in
    # its -O0 builds only. Debug information knows lines and no variables, which optimising took
    # away anyway: the whole of it takes g++ a third of its time.
    configure("build", os.environ.get("CXX", "g++"), "-Dbench=enabled", "-Dtests=enabled",
              "-Dtests_optimization=0", "-Dtests_headers=false", "-Ddebug=false", "-Dcpp_args=-g1",
              *IN_UNITS)  # fmt: skip
    run("ninja", "-C", "build", *targets)


class Count:
    """How tests went."""

    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def results(log, explain=False):
    """The Count of meson's log; prints why tests were skipped, if asked."""
    if not log.exists():  # Meson found no tests to run, which it takes for success.
        return Count(failed=1)
    count = Count()
    for test in map(json.loads, log.read_text().splitlines()):
        if test["result"] in ("OK", "EXPECTEDFAIL"):
            count.passed += 1
        elif test["result"] == "SKIP":
            count.skipped += 1
            said = (test.get("stdout", "") + test.get("stderr", "")).strip() or "no reason given"
            if explain:
                print(f"{test['name']}: {said.splitlines()[-1]}")
        else:
            count.failed += 1
    return count


def demo(*arguments):
    """usage: ./dev demo [--yes] [ARGUMENT...]

    Builds, then runs `bench/compare.py demo` with the given arguments."""
    build_normally("programs")
    run("python3", "bench/compare.py", "demo", "--build", "build", *arguments)


def build(*targets):
    """usage: ./dev build [--yes] [TARGET...]

    Builds everything, or only the given targets, in build/: -O2, with g++ unless CXX names another
    compiler."""
    build_normally(*targets)


def test(*arguments):
    """usage: ./dev test [--yes] [ARGUMENT...]

    Builds, then runs all tests and shows the logs of failed ones. The arguments go to `meson test`:

      ./dev test core tidy            only these tests: core sched net tidy consumer ...
      ./dev test --suite outside      one suite: core sched net fuzz outside tidy install
      ./dev test net --test-args='--test-case=*reset*'

    The last line is `N passed, N failed, N skipped`."""
    build_normally()
    log = pathlib.Path("build/meson-logs/testlog.json")
    log.unlink(missing_ok=True)
    # Tests wait more than they compute.
    done = subprocess.run(["meson", "test", "-C", "build", "--no-rebuild", "--print-errorlogs",
                           "--num-processes", str(2 * os.cpu_count()), *arguments])  # fmt: skip
    count = results(log, explain=True)
    print(count)
    if done.returncode != 0 or count.failed:
        raise Failed()


def bench(*arguments):
    """usage: ./dev bench [--yes] echo|chat|scale|micro [ARGUMENT...]

    Builds, then measures:

      echo     echo servers side by side: `bench/compare.py echo` with the arguments
      chat     chat servers side by side: `bench/chat.py` with the arguments
      scale    echo servers on one and two threads, and what threads cost each other, beside tokio,
               Go, Asio and a thread per connection, those of Debian that are installed:
               `bench/scale.py` with the arguments
      micro    the cost of single operations, in nanoseconds: `build/bench/micro` with the
               arguments; with --peers first, beside Go, tokio and gevent, those of Debian that are
               installed: `bench/micro_peers.py` with the rest of the arguments"""
    if not arguments:
        raise Failed(inspect.getdoc(bench), status=2)
    build_normally("programs")
    name, *rest = arguments
    if name == "micro" and rest[:1] == ["--peers"]:
        run("python3", "bench/micro_peers.py", "--build", "build", *rest[1:])
    elif name == "micro":
        run("build/bench/micro", *rest)
    elif name in ("chat", "scale"):
        run("python3", f"bench/{name}.py", "--build", "build", *rest)
    else:
        run("python3", "bench/compare.py", name, "--build", "build", *rest)


def lint(*arguments):
    """usage: ./dev lint [--yes] [--since COMMIT | FILE.cpp...]

    Runs tools/tidy.py (house rules, clang-format 14), then clang-tidy 19 on all sources, or the
    given ones, or those that have changed since that commit: as many as it can check in 30 s, the
    library first."""
    status = subprocess.run(["python3", "-B", "tools/tidy.py", "."]).returncode
    # clang-tidy would need the precompiled header to exist.
    configure("build-lint", "clang++-19", "-Dbench=enabled", "-Dtests=enabled", "-Db_pch=false")
    ends = time.monotonic() + 30
    if arguments[:1] == ("--since",):
        sources = sources_changed_since(*arguments[1:])
    else:
        all_sources = (str(f) for d in SOURCES for f in pathlib.Path(d).rglob("*.cpp"))
        sources = list(arguments) or [f for f in all_sources if is_ours(f)]
        ends = float("inf")
    running = []
    unchecked = 0
    for source in sources + [None] * os.cpu_count():
        while running and (source is None or len(running) == os.cpu_count()):
            status |= running.pop(0).wait()
        if source is None:
            continue
        if time.monotonic() > ends:
            unchecked += 1
            continue
        # It counts on standard error what it has found in the headers of others, --quiet or not.
        running.append(subprocess.Popen(["clang-tidy-19", "-p", "build-lint", "--quiet", source],
                                        stderr=subprocess.DEVNULL))  # fmt: skip
    if unchecked:
        print(f"clang-tidy: no time for {unchecked} of {len(sources)} sources")
    if status != 0:
        raise Failed()


def sources_changed_since(commit):
    done = subprocess.run(["git", "diff", "--name-only", "--diff-filter=d", commit, "--", *SOURCES],
                          text=True, stdout=subprocess.PIPE)  # fmt: skip
    if done.returncode != 0:
        raise Failed()
    # In the order of SOURCES.
    changed = [name for name in done.stdout.split() if name.endswith(".cpp") and is_ours(name)]
    return sorted(changed, key=lambda name: SOURCES.index(name.split("/")[0]))


def is_ours(source):
    """Whether Meson builds it: not the programs that use other libraries."""
    return not source.startswith(("examples/others/", "tests/consumer/"))


def docs(*arguments):
    """usage: ./dev docs [--yes]

    Makes web pages of the headers for authors of programs, README.md and docs/: open
    build-docs/index.html. A link that leads nowhere, or a comment that doxygen cannot read, fails.
    """
    if arguments:
        raise Failed(inspect.getdoc(docs), 2)
    folder = pathlib.Path("build-docs")
    fresh(folder)
    headers = folder / "headers/ringlet"
    headers.mkdir(parents=True)
    for layer in LAYERS:
        for header in pathlib.Path(layer).rglob("ringlet/*.hpp"):
            (headers / header.name).symlink_to(header.resolve())
    run("doxygen", "docs/Doxyfile")
    print(folder / "index.html")


def fuzz(*arguments):
    """usage: ./dev fuzz [--yes] [TARGET [ARGUMENT...]]

    Builds the fuzz targets with clang 19 in build-matrix/clang-fuzz, then runs TARGET until an
    input breaks a promise. The arguments go to libFuzzer. Without a TARGET, runs each target for a
    minute:

      ./dev fuzz reader -max_total_time=600
      ./dev fuzz engine build-matrix/clang-fuzz/found/crash-...     only that input

    Targets: address engine frame reader. New inputs go to build-matrix/clang-fuzz/found, one folder
    per target, and so do inputs that broke a promise. tests/README.md says how to keep them."""
    if arguments and arguments[0] not in FUZZ_TARGETS:
        raise Failed(f"dev: there is no fuzz target '{arguments[0]}'\n{inspect.getdoc(fuzz)}", 2)
    matrix_build("clang-fuzz")
    found = pathlib.Path("build-matrix/clang-fuzz/found")
    for target in arguments[:1] or FUZZ_TARGETS:
        given = arguments[1:] if arguments else ["-max_total_time=60"]
        new = found / target
        new.mkdir(parents=True, exist_ok=True)
        # libFuzzer runs single inputs if no folder is named.
        corpora = [new, f"tests/fuzz/corpus/{target}"]
        if any(os.path.isfile(argument) for argument in given):
            corpora = []
        run(f"build-matrix/clang-fuzz/tests/fuzz_{target}", "-max_len=300", "-timeout=30",
            f"-artifact_prefix={found}/", *given, *corpora)  # fmt: skip


def matrix(*names):
    """usage: ./dev matrix [--yes] [--library] [NAME...]

    Builds and tests each configuration in build-matrix/NAME, all of them or the named ones:

      gcc-O0 gcc-O1 gcc-O2 gcc-asan gcc-tsan clang-O0 clang-O1 clang-O2 clang-asan clang-tsan
      clang-fuzz gcc-release clang-release

    asan is AddressSanitizer with UndefinedBehaviorSanitizer, tsan is ThreadSanitizer, fuzz is a
    short run of each fuzz target, and release builds what users install, without tests. The tests
    of a configuration run on both engines at once, while the next configuration is built. One line
    reports each cell; a failure does not stop the rest. The last line is `N passed, N failed, N
    skipped`. Without names the random tests run ten times longer where they are quick or find most.
    --library leaves out the examples and what runs them. RINGLET_ENGINES=epoll tests on that engine
    only."""
    library_only = names[:1] == ("--library",)
    names = names[library_only:]
    longer = [] if names else ["gcc-O2", "clang-O2", "clang-asan"]
    names = names or MATRIX
    for name in names:
        if name not in MATRIX:
            raise Failed(f"dev: there is no configuration '{name}'\n{inspect.getdoc(matrix)}", 2)
    total = Count()

    def report(what, count, log):
        print(f"{what:<18} {count}", flush=True)
        total.add(count)
        if count.failed:
            print("".join(log.read_text(errors="replace").splitlines(True)[-60:]), flush=True)

    def finish(tests):
        for what, process, results_file, log in tests:
            process.wait()
            report(what, results(results_file), log)

    pathlib.Path("build-matrix").mkdir(exist_ok=True)
    running = []
    try:
        for name in names:
            start = time.monotonic()
            log = pathlib.Path(f"build-matrix/{name}.log")
            with log.open("w") as output:
                try:
                    matrix_build(name, library_only, stdout=output, stderr=subprocess.STDOUT)
                except Failed as why:
                    output.write(str(why))
                    report(f"{name} (the build)", Count(failed=1), log)
                    continue
            print(f"{name:<18} built in {time.monotonic() - start:.0f} s", flush=True)
            if name.endswith("-release"):
                total.add(Count(passed=1))
                continue
            finish(running)
            # They wait more than they compute: for each other, and while the next one is built.
            scale = "10" if name in longer else "1"
            running = [matrix_test(name, engine, scale, library_only) for engine in ENGINES]
        finish(running)
        running = []
    finally:
        for _, process, _, _ in running:
            process.terminate()
    print(total)
    if total.failed:
        raise Failed()


def matrix_build(name, library_only=False, **streams):
    compiler = "g++" if name.startswith("gcc") else "clang++-19"
    # Compiling is most of the time. Reports have lines and nothing more, those of clang's
    # AddressSanitizer only functions: lines take clang a quarter of its time there. With
    # UndefinedBehaviorSanitizer optimising takes clang twice and g++ three times as long.
    kind = name.split("-")[1]
    flags = ["-fno-omit-frame-pointer"] + (["-g1"] if name != "clang-asan" else [])
    options = ["-Dbench=disabled", "-Dtests=enabled", "-Ddebug=false"]
    if kind == "release":
        options = ["--buildtype=release", "-Dtests=disabled", *IN_UNITS]
    if kind == "O0":
        # Here, where it costs least, every file shows that it includes what it needs.
        options += ["-Doptimization=0"]
    elif kind in ("O1", "O2"):
        options += [f"-Doptimization={kind[1]}", "-Dtests_headers=false", *IN_UNITS]
    elif kind == "tsan":
        options += ["-Doptimization=1", "-Db_sanitize=thread", *IN_UNITS]
    elif kind in ("asan", "fuzz"):
        options += ["-Db_sanitize=address,undefined", *IN_UNITS]
        options += ["-Doptimization=0" if kind == "asan" else "-Doptimization=1"]
    if kind == "fuzz":
        # Branches are counted, and the tests themselves are part of what is explored.
        flags += ["-fsanitize=fuzzer-no-link"]
        options += ["-Dfuzzing=true"]
    if kind in ("asan", "tsan", "fuzz"):
        options += ["-Db_lundef=false", f"-Dcpp_args={flags}"]
    targets = []
    if kind == "fuzz":
        targets = ["fuzzers"]
    elif library_only:
        targets = ["libringlet.a"] if kind == "release" else ["library_tests"]
    folder = f"build-matrix/{name}"
    configure(folder, compiler, *options, **streams)
    run("ninja", "-C", folder, *targets, **streams)


def matrix_test(name, engine, scale, library_only):
    """Starts the tests of a configuration on an engine: what they are, the process, its results,
    and its log."""
    folder = pathlib.Path("build-matrix", name)
    found = folder / "meson-logs" / f"{engine}.json"
    found.unlink(missing_ok=True)
    log = pathlib.Path(f"build-matrix/{name}-{engine}.log")
    # The sanitizers of g++ 12 cannot live with the random addresses of newer kernels.
    fixed = ["setarch", "-R"]
    if subprocess.run([*fixed, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        fixed = []
    # The suites that are left out do not depend on the compiler.
    suites = ["--no-suite", "tidy", "--no-suite", "install"]
    if name == "clang-fuzz":
        suites = ["--suite", "fuzz"]
    elif library_only:
        suites += ["--no-suite", "outside"]
    process = subprocess.Popen(
        [*fixed, "meson", "test", "-C", folder, "--no-rebuild", "--logbase", engine,
         "--print-errorlogs", "--timeout-multiplier", "4" if scale == "1" else "16",
         "--num-processes", str(os.cpu_count() + 1), *suites],
        stdout=log.open("w"), stderr=subprocess.STDOUT,
        # Nor does how long the scripts look.
        env={"RINGLET_TEST_SCALE": scale, **os.environ, "RINGLET_ENGINE": engine,
             "RINGLET_TEST_FAST": "1"},
    )  # fmt: skip
    return f"{name} {engine}", process, found, log


COMMANDS = {f.__name__: f for f in (demo, build, test, bench, lint, docs, fuzz, matrix)}


def main():
    os.chdir(pathlib.Path(__file__).resolve().parent.parent)
    # Without this, ccache would not cache compilations that use precompiled headers.
    os.environ.setdefault("CCACHE_SLOPPINESS", "pch_defines,time_macros")
    command, *arguments = sys.argv[1:]
    command = COMMANDS[command]
    if arguments[:1] in (["-h"], ["--help"]):
        print(inspect.getdoc(command))
        return 0
    try:
        command(*arguments)
    except Failed as why:
        if str(why):
            print(why, file=sys.stderr)
        return why.status
    except KeyboardInterrupt:
        return 130
    return 0


sys.exit(main())
