#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a test program in which some cases leak, and checks that exactly those fail.

usage: leaks_test.py PROGRAM
"""

import re
import subprocess
import sys

LEAKS = {
    "leaks a block": "heap blocks +1,",
    "leaks an aligned block": "heap blocks +1,",
    "leaks an array, in one of two subcases": "heap blocks +1,",
    "leaks a frame": "bytes of frames +",
    "leaks what lies in the frame pool": "bytes of frames +208",
    "leaks a mapping": "mapped bytes +4096",
    "leaks a descriptor": "descriptors +1",
}


def main():
    run = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True)
    print(run.stdout, end="")
    found = dict(re.findall(r'LEAK: the test case "(.*)" leaves .* runs: (.*)', run.stdout))
    wrong = [name for name in LEAKS if LEAKS[name] not in found.get(name, "")]
    wrong += [name for name in found if name not in LEAKS]
    for name in wrong:
        print(f"{name}: reported are {found.get(name, 'no leaks')}")
    sys.exit(1 if wrong or run.returncode != 1 else 0)


if __name__ == "__main__":
    main()
