# SPDX-License-Identifier: MIT
"""Prints the results of a comparison: table, losses, goals, bars."""

import sys

from comparison.series import SERVERS, cpu_ns, latency_ns, messages_per_s

HEADING = (f"{'':24}{'messages/s':>11}{'MB/s':>8}{'p50 us':>9}{'p99 us':>9}{'p99.9 us':>10}"
           f"{'CPU ns/msg':>12}{'core':>6}   {'to the limit':<19}to threads")
LEGEND = """\
MB/s: each way. core: how much of its core the server used; if well below 100 %, the load generator
limits messages/s. to ...: ratio of CPU per message, median of rounds [95 % interval]; below 1 is
better.
"""

METRICS = (  # Name, function of a result, whether more is better.
    ("messages/s", messages_per_s, True),
    ("CPU per message", cpu_ns, False),
    ("p50", latency_ns("p50"), False),
    ("p99", latency_ns("p99"), False),
    ("p99.9", latency_ns("p99_9"), False),
)


def table(all_series):
    print(HEADING)
    for series in all_series:
        print(f"{series.workload.title}  ({len(series.rounds)} rounds)")
        for key in series.servers:
            print(row(series, key))
    print(LEGEND)


def row(series, key):
    def median(metric, unit=1):
        return series.median(key, metric) / unit

    def ratio(base):
        known = key != base and base in series.servers
        return str(series.ratio(key, base, cpu_ns)) if known else "-"

    core = median(lambda result: cpu_ns(result) * messages_per_s(result), 1e9)
    return (f"  {SERVERS[key].title:22}{median(messages_per_s):11,.0f}"
            f"{median(lambda result: result['bytes_per_s'], 1e6):8,.1f}"
            f"{median(latency_ns('p50'), 1e3):9,.0f}{median(latency_ns('p99'), 1e3):9,.0f}"
            f"{median(latency_ns('p99_9'), 1e3):10,.0f}{median(cpu_ns):12,.0f}{core:6.0%}"
            f"   {ratio('limit'):<19}{ratio('threads')}")


def losses(all_series):
    """Prints every metric in which ringlet is behind with the whole interval."""
    lines = []
    for series in all_series:
        others = [key for key in series.servers if not key.startswith("ringlet")]
        for key in others if "ringlet" in series.servers else []:
            for name, metric, more_is_better in METRICS:
                ratio = series.ratio("ringlet", key, metric)
                if ratio and (ratio.high < 1 if more_is_better else ratio.low > 1):
                    lines.append(f"  {series.workload.title:12} {name:16} {str(ratio):20} times "
                                 f"that of {SERVERS[key].title}")
    print("Where ringlet is behind, beyond the noise:" + ("" if lines else " nowhere."))
    print("\n".join(lines) + ("\n" if lines else ""))


def judge(all_series, goals):
    """Each goal that was measured, with its ratio and verdict: met, missed or open."""
    verdicts = []
    for goal in goals:
        for ratio in filter(None, (series.goal_ratio(goal) for series in all_series)):
            if ratio.high <= goal.limit:
                verdict = "met"
            else:
                verdict = "missed" if ratio.low > goal.limit else "open"
            verdicts.append((goal, ratio, verdict))
    return verdicts


def goals(verdicts, servers=SERVERS):
    if not verdicts:
        return
    print("Goals for CPU per message:")
    for goal, ratio, verdict in verdicts:
        word = "PASS" if ratio.median <= goal.limit else "FAIL"
        doubt = " (by the median; the interval contains the goal)" if verdict == "open" else ""
        print(f"  {word}  {goal.workload.title:12} {servers[goal.subject].title:17} at most "
              f"{goal.limit:.2f} x {servers[goal.base].title:22} {ratio}{doubt}")
    print()


def bars(series):
    block = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
    values = {key: series.median(key, cpu_ns) for key in series.servers}
    longest = max(values.values())
    print(f"CPU per message, {series.workload.title}; shorter is better")
    for key, value in values.items():
        bar = block * round(50 * value / longest)
        print(f"  {SERVERS[key].title:22} {bar} {value / 1000:.2f} us")
    print()


def headline(series):
    ratio = series.ratio("ringlet", "threads", cpu_ns)
    print(f"Per message ringlet uses {ratio.median:.2f} times the CPU of a thread per connection:\n"
          f"one core carries {1 / ratio.median:.1f} times as many messages.\n")
