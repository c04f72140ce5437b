"""Under what conditions a comparison ran: numbers without them mean nothing."""

import contextlib
import datetime
import json
import os
import pathlib
import platform
import subprocess


def cpu_model():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


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


def collect(plan, options, cores):
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "pinning": cores.describe(),
        **build_description(options.build),
        "workloads": [workload.title for workload, _ in plan],
        "depth": options.depth,
        "rounds": options.pairs,
        "seconds": options.seconds,
        "warmup": options.warmup,
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def show(found):
    lto = ", LTO" if found["lto"] else ""
    print(f"kernel    {found['kernel']}")
    print(f"CPU       {found['cpu']}, {found['cores']} core(s); {found['pinning']}")
    print(f"build     {found['buildtype']} (-O{found['optimization']}{lto}), {found['compiler']}")
    print(f"workload  connections x message size: {', '.join(found['workloads'])}; "
          f"{found['depth']} in flight on each")
    print(f"rounds    {found['rounds']} of {found['seconds']:g} s after {found['warmup']:g} s of "
          f"warm-up, the servers in turn")
    print(f"date      {found['date']}")
    if found["optimization"] in ("0", "g"):
        print("WARNING   this build is not optimised: its numbers say nothing about a release")
    if found["sanitize"] != "none":
        print(f"WARNING   this build has the sanitizer `{found['sanitize']}`: do not quote it")
    print(flush=True)
