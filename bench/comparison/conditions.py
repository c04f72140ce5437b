# SPDX-License-Identifier: MIT
"""The conditions under which a comparison ran: without them, numbers mean nothing."""

import contextlib
import ctypes
import datetime
import json
import os
import pathlib
import platform
import resource
import subprocess

BYSTANDERS_SHARE_MAX = 0.1  # Above this, other processes distort the numbers too much.


def cpu_model():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def ring_refusal():
    """Why the kernel refuses io_uring to this user, or an empty text."""
    parameters = ctypes.create_string_buffer(120)  # struct io_uring_params, without any flag
    io_uring_setup = 425  # On every architecture.
    ring = ctypes.CDLL(None, use_errno=True).syscall(io_uring_setup, 1, parameters)
    if ring < 0:
        return os.strerror(ctypes.get_errno())
    os.close(ring)
    return ""


def first_line_of(command):
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(command, capture_output=True, text=True, timeout=10)
        return (said.stdout.splitlines() or [""])[0]
    return ""


def build_description(build):
    """Compiler and build options, from the files that meson leaves in the build folder."""
    info = build / "meson-info"
    try:
        options = json.loads((info / "intro-buildoptions.json").read_text())
        targets = json.loads((info / "intro-targets.json").read_text())
    except (OSError, ValueError):
        options, targets = [], []
    compilers = {tuple(source["compiler"])
                 for target in targets for source in target.get("target_sources", ())
                 if source.get("language") == "cpp" and source.get("compiler")}
    values = {option["name"]: option["value"] for option in options}
    return {
        "compiler": ", ".join(filter(None, (first_line_of([*compiler, "--version"])
                                            for compiler in sorted(compilers)))) or "unknown",
        "buildtype": values.get("buildtype", "unknown"),
        "optimization": values.get("optimization", "unknown"),
        "lto": values.get("b_lto", False),
        "sanitize": values.get("b_sanitize", "none"),
    }


class Bystanders:
    """The share of the machine's CPU time that unrelated processes used since its creation.

    Children count as ours once they have ended and been waited for.
    """

    def __init__(self):
        self.start = self.read()

    @staticmethod
    def read():
        """CPU seconds: (the machine was busy, used by us, available)"""
        with contextlib.suppress(OSError, ValueError):
            ticks = [int(text) for text in pathlib.Path("/proc/stat").read_text().split()[1:9]]
            idle = ticks[3] + ticks[4]  # proc_stat(5): idle and iowait are the fourth and fifth.
            ours = sum(usage.ru_utime + usage.ru_stime for usage in
                       map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
            per_s = os.sysconf("SC_CLK_TCK")
            return (sum(ticks) - idle) / per_s, ours, sum(ticks) / per_s
        return 0, 0, 0

    def share(self):
        busy, ours, total = (now - then for now, then in zip(self.read(), self.start))
        return max(0, busy - ours) / total if total else 0

    def show(self):
        share = self.share()
        warning = ": WARNING, too much to trust the numbers" if share > BYSTANDERS_SHARE_MAX else ""
        print(f"Other processes used {share:.0%} of the machine during the measurement{warning}.\n")


def collect(load, options, cores, refusal):
    """`load` describes the workload in words."""
    return {
        "io_uring": refusal or "allowed",
        "kernel": f"{platform.system()} {platform.release()}",
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "pinning": cores.describe(),
        **build_description(options.build),
        "load": load,
        "rounds": options.pairs,
        "seconds": options.seconds,
        "warmup": options.warmup,
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def show(found):
    lto = ", LTO" if found["lto"] else ""
    print(f"kernel    {found['kernel']}")
    if found["io_uring"] != "allowed":
        print(f"io_uring  refused ({found['io_uring']}): ringlet runs on epoll")
    print(f"CPU       {found['cpu']}, {found['cores']} core(s); {found['pinning']}")
    print(f"build     {found['buildtype']} (-O{found['optimization']}{lto}), {found['compiler']}")
    print(f"workload  {found['load']}")
    print(f"rounds    {found['rounds']} of {found['seconds']:g} s after {found['warmup']:g} s of "
          f"warm-up, servers in rotating order")
    print(f"date      {found['date']}")
    if found["optimization"] in ("0", "g"):
        print("WARNING   this build is not optimised: do not quote its numbers")
    if found["sanitize"] != "none":
        print(f"WARNING   this build uses the sanitizer `{found['sanitize']}`: do not quote its "
              "numbers")
    print(flush=True)
