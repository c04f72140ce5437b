# SPDX-License-Identifier: MIT
"""Prints the results of chat servers: tables, faults, losses, goals."""

from comparison.chat_series import CHAT_SERVERS, CPU_GOALS, CPU_LIMIT, P99_GOAL, P99_LIMIT_MS
from comparison.chat_series import cpu_ns, deliveries_per_s, latency_ms, load_share, server_share
from comparison.series import Ratio, median_interval

COST_HEADING = (f"{'':22}{'deliveries/s':>13}{'CPU ns each':>13}{'core':>6}{'load':>6}"
                "   to the limit")
LIMIT_HEADING = (f"{'':22}{'offered/s':>11}{'carried/s':>11}{'core':>6}{'load':>6}{'p50 ms':>9}"
                 f"{'p99 ms':>9}   p99 [interval]")
LEGEND = """\
A delivery is one line that reached one member. core, load: how much of its core the server and the
load generator used. to the limit: ratio of the server's CPU per delivery, median of rounds [95 %
interval]; below 1 is better. If carried equals offered, one core could carry more, unless core is
100 %. Latency counts from the time at which the message was due.
"""
METRICS = (  # Name, function of a result, whether more is better.
    ("CPU per delivery", cpu_ns, False),
    ("deliveries/s", deliveries_per_s, True),
    ("p50", latency_ms("p50"), False),
    ("p99", latency_ms("p99"), False),
    ("p99.9", latency_ms("p99_9"), False),
)
FAULTS = ("lost", "doubled", "out_of_order", "foreign", "members_dropped")


def tables(all_series):
    for heading, row in (COST_HEADING, cost_row), (LIMIT_HEADING, limit_row):
        print(heading)
        for series in all_series:
            print(f"{series.workload.title}  ({len(series.rounds)} rounds)")
            for key in series.servers:
                print(row(series, key))
        print()
    print(LEGEND)


def shares(series, key):
    return f"{series.median(key, server_share):6.0%}{series.median(key, load_share):6.0%}"


def cost_row(series, key):
    ratio = series.ratio(key, "limit", cpu_ns) if key != "limit" else None
    return (f"  {CHAT_SERVERS[key].title:20}{series.median(key, deliveries_per_s):13,.0f}"
            f"{series.median(key, cpu_ns):13,.0f}{shares(series, key)}   {ratio or '-'}")


def limit_row(series, key):
    p99 = interval(series, key, latency_ms("p99"))
    return (f"  {CHAT_SERVERS[key].title:20}{series.workload.offered:11,.0f}"
            f"{series.median(key, deliveries_per_s):11,.0f}{shares(series, key)}"
            f"{series.median(key, latency_ms('p50')):9.2f}{p99.median:9.2f}"
            f"   [{p99.low:.2f} {p99.high:.2f}]")


def interval(series, key, metric):
    """Median and interval of one server's values (not of a ratio)."""
    values = [metric(results[key]) for results in series.rounds if key in results]
    return Ratio(series.median(key, metric), *median_interval(values))


def faults(all_series):
    """Prints every run with a delivery fault. Returns their number."""
    count = 0
    for series in all_series:
        for number, results in enumerate(series.rounds, 1):
            for key, result in results.items():
                found = [f"{result[name]} {name.replace('_', ' ')}" for name in FAULTS
                         if result[name]]
                if not found and not result["errors"]:
                    continue
                found += result["errors"]
                count += 1
                print(f"  WRONG  {CHAT_SERVERS[key].title}, {series.workload.title}, round "
                      f"{number}: {', '.join(found)}")
    if count == 0:
        print("Every line arrived once and in order in every run; no member was dropped.")
    print()
    return count


def losses(all_series):
    """Prints every metric in which ringlet is behind with the whole interval."""
    lines = []
    for series in all_series:
        if not {"ringlet", "limit"} <= set(series.servers):
            return
        for name, metric, more_is_better in METRICS:
            ratio = series.ratio("ringlet", "limit", metric)
            if ratio and (ratio.high < 1 if more_is_better else ratio.low > 1):
                lines.append(f"  {series.workload.title:36} {name:16} {str(ratio):20} times that "
                             "of the hand-written server")
    print("Where ringlet is behind, beyond the noise:" + ("" if lines else " nowhere."))
    print("\n".join(lines) + ("\n" if lines else ""))


def judge(all_series):
    """Each goal that was measured: (text, value, whether it is met)."""
    verdicts = []
    for series in all_series:
        if "ringlet" not in series.servers:
            continue
        ratio = series.ratio("ringlet", "limit", cpu_ns) if "limit" in series.servers else None
        if series.workload in CPU_GOALS and ratio:
            verdicts.append((f"{series.workload.title}: CPU per delivery at most {CPU_LIMIT:.2f} x "
                             "hand-written", ratio, ratio.median <= CPU_LIMIT))
        if series.workload == P99_GOAL:
            p99 = interval(series, "ringlet", latency_ms("p99"))
            verdicts.append((f"{series.workload.title}: p99 at most {P99_LIMIT_MS} ms", p99,
                             p99.median <= P99_LIMIT_MS))
    return verdicts


def goals(verdicts):
    if verdicts:
        print("Goals:")
    for text, value, is_met in verdicts:
        print(f"  {'PASS' if is_met else 'FAIL'}  {text}: {value}")
    if verdicts:
        print()
