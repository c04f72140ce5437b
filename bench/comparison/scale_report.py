# SPDX-License-Identifier: MIT
"""Prints the results of bench/scale.py: tables, losses, goals."""

from comparison.rows import ratio_of
from comparison.scale_series import WOKEN_GOALS, WOKEN_LIMIT, key_of, load_share, split_key
from comparison.series import cpu_ns, messages_per_s

HEADING = (f"{'':24}{'messages/s':>11}{'CPU ns/msg':>12}{'cores':>7}{'load':>6}"
           f"   {'to one thread':<19}to ringlet")
LEGEND = """\
cores, load: how much of a core the server and the load generator used. to ...: ratio of CPU per
message, median of rounds [95 % interval]. to one thread: of the same server; below 1, several
threads cost less. to ringlet: with as many threads; above 1, ringlet costs less. A thread per
connection is compared with ringlet on the most threads.
"""
METRICS = (("CPU per message", cpu_ns, False), ("messages/s", messages_per_s, True))


def rival(series, key):
    """The ringlet that a peer is compared with; None for ringlet, or if it is not measured."""
    technique, threads = split_key(key)
    if technique == "ringlet":
        return None
    measured = [split_key(other)[1] for other in series.servers if split_key(other)[0] == "ringlet"]
    threads = threads or max(measured, default=0)
    return key_of("ringlet", threads) if threads in measured else None


def table(all_series, servers):
    print(HEADING)
    for series in all_series:
        print(f"{series.workload.title}  ({len(series.rounds)} rounds)")
        for key in series.servers:
            print(row(series, key, servers[key].title))
    print(LEGEND)


def row(series, key, title):
    technique, threads = split_key(key)
    one = key_of(technique, 1)
    to_one = "-"
    if threads and threads > 1 and one in series.servers:
        to_one = str(series.ratio(key, one, cpu_ns))
    ours = rival(series, key)
    to_ringlet = str(series.ratio(key, ours, cpu_ns)) if ours else "-"
    cores = series.median(key, lambda result: cpu_ns(result) * messages_per_s(result) / 1e9)
    return (f"  {title:22}{series.median(key, messages_per_s):11,.0f}"
            f"{series.median(key, cpu_ns):12,.0f}{cores:7.2f}{series.median(key, load_share):6.2f}"
            f"   {to_one:<19}{to_ringlet}")


def losses(all_series, servers):
    """Prints every metric in which ringlet is behind with the whole interval."""
    lines = []
    for series in all_series:
        for key, ours in ((key, rival(series, key)) for key in series.servers):
            for name, metric, more_is_better in METRICS if ours else ():
                ratio = series.ratio(ours, key, metric)
                if ratio and (ratio.high < 1 if more_is_better else ratio.low > 1):
                    lines.append(f"  {series.workload.title:12} {servers[ours].title:18} {name:16} "
                                 f"{str(ratio):20} times that of {servers[key].title}")
    print("Where ringlet is behind, beyond the noise:" + ("" if lines else " nowhere."))
    print("\n".join(lines) + ("\n" if lines else ""))


def woken(rounds):
    """Prints the goals that are ratios. True if one is missed."""
    missed = False
    for row, by_hand in WOKEN_GOALS:
        ratio = ratio_of(rounds, "ringlet", row, base_row=by_hand)
        if ratio is None:
            print(f"  -     {row}: not measured")
            continue
        word = "FAIL" if ratio.median > WOKEN_LIMIT else "PASS"
        missed |= word == "FAIL"
        print(f"  {word}  {row}: at most {WOKEN_LIMIT:.2f} x eventfd by hand   {ratio}")
    print()
    return missed
