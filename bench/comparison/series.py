# SPDX-License-Identifier: MIT
"""Servers, workloads and goals; the results of all rounds, and their statistics."""

import math
import statistics
from dataclasses import dataclass, field


class Failure(Exception):
    """Ends the comparison. Its text is the message to print."""


@dataclass(frozen=True)
class Workload:
    connections: int
    size: int  # Bytes of one message.
    reconnect: int = 0  # Messages after which a client connects again; 0 for never.

    @property
    def title(self):
        size = f"{self.size // 1024} KiB" if self.size % 1024 == 0 else f"{self.size} B"
        return f"{self.connections} x {size}" + (f" /{self.reconnect}" if self.reconnect else "")


@dataclass(frozen=True)
class Server:
    key: str
    title: str
    path: str  # Below the build folder.
    environment: tuple = ()
    arguments: tuple = ()


@dataclass(frozen=True)
class Goal:
    workload: Workload
    base: str  # Key of the server to compare with.
    limit: float  # The goal: at most this ratio of CPU per message.
    subject: str = "ringlet"


SERVERS = {
    server.key: server
    for server in (
        Server("ringlet", "ringlet", "examples/echo_server"),
        Server("limit", "liburing by hand", "bench/echo_limit"),
        Server("epoll", "epoll by hand", "bench/echo_epoll"),
        Server("threads", "thread per connection", "bench/echo_threads"),
        Server("ringlet-epoll", "ringlet on epoll", "examples/echo_server",
               (("RINGLET_ENGINE", "epoll"),)),
    )
}

REPRESENTATIVE = Workload(500, 64)
ECHO_WORKLOADS = (REPRESENTATIVE, Workload(500, 4096), Workload(16, 64), Workload(5000, 64))
# Each message on a connection of its own: what a server without keep-alive does.
CYCLES = Workload(100, 64, reconnect=1)


# Metrics of a round's result.

def cpu_ns(result):
    return result["server_cpu_ns_per_message"]


def messages_per_s(result):
    return result["messages_per_s"]


def latency_ns(which):
    return lambda result: result["latency_ns"][which]


FEWEST_ROUNDS = 6  # With fewer there is no 95 % interval of a median.


def median_interval(values):
    """The 95 % interval of the median, from order statistics: valid for any distribution.

    Each value is below the true median with probability 1/2, so the number of values below it is
    binomial. The k-th smallest and the k-th largest value enclose the median with at least 95 %,
    for the largest k whose two tails sum to at most 5 %.
    """
    ordered = sorted(values)
    count = len(ordered)
    tail, k = 0.0, 0
    while k < count // 2:
        tail += math.comb(count, k) / 2**count
        if 2 * tail > 0.05:
            break
        k += 1
    k = max(k, 1)  # With fewer than six values there is no such interval: use the whole range.
    return ordered[k - 1], ordered[count - k]


@dataclass(frozen=True)
class Ratio:
    median: float
    low: float
    high: float

    def __str__(self):
        return f"{self.median:.2f} [{self.low:.2f} {self.high:.2f}]"


@dataclass
class Series:
    """All rounds of one workload. A round maps server keys to results of the load generator."""

    workload: Workload
    servers: list
    rounds: list = field(default_factory=list)

    def median(self, key, metric):
        return statistics.median(metric(r[key]) for r in self.rounds if key in r)

    def ratio(self, key, base, metric):
        """One server's metric over another's, round by round; None if no round has both."""
        both = [r for r in self.rounds if key in r and base in r]
        ratios = [metric(r[key]) / metric(r[base]) for r in both if metric(r[base])]
        return Ratio(statistics.median(ratios), *median_interval(ratios)) if ratios else None

    def goal_ratio(self, goal):
        """The ratio that `goal` limits, or None if the goal is for another workload."""
        if goal.workload != self.workload:
            return None
        return self.ratio(goal.subject, goal.base, cpu_ns)
