# SPDX-License-Identifier: MIT
"""The echo servers, goals and operations of bench/scale.py."""

from dataclasses import dataclass

from comparison.series import Goal, Server, Workload

SIZE = 64  # Bytes of a message.
SCALE_LIMIT = 1.05  # CPU per message with several schedulers: at most this times that of one.


@dataclass(frozen=True)
class Technique:
    key: str
    title: str
    path: str  # Below the build folder.
    takes_threads: bool = True  # Whether it has the option --threads.

    def servers(self, numbers):
        """One for each number of threads."""
        if not self.takes_threads:
            return [Server(self.key, self.title, self.path)]
        return [Server(key_of(self.key, number), f"{self.title}, {number} thread"
                       + ("s" if number > 1 else ""), self.path,
                       arguments=("--threads", str(number))) for number in numbers]


RINGLET = Technique("ringlet", "ringlet", "examples/echo_server")
PEERS = {
    peer.key: peer
    for peer in (
        Technique("tokio", "tokio", "bench/peers/tokio/target/release/echo_tokio"),
        Technique("go", "Go", "bench/peers/echo_go"),
        Technique("asio", "Asio", "bench/peers/echo_asio"),
        Technique("threads", "thread per connection", "bench/echo_threads", takes_threads=False),
    )
}


def key_of(technique, threads):
    return f"{technique}-{threads}"


def split_key(key):
    """The technique, and the number of threads; None where the connections determine it."""
    technique, _, threads = key.partition("-")
    return technique, int(threads) if threads else None


def make_goals(connections, numbers):
    several = [number for number in numbers if number > 1 and 1 in numbers]
    return [Goal(Workload(count, SIZE), key_of("ringlet", 1), SCALE_LIMIT, key_of("ringlet", more))
            for count in connections for more in several]


# The rows of micro_threads.cpp.
WOKEN = "sleeping thread woken, and back"
WOKEN_BY_HAND = "  by hand, with eventfd"
WOKEN_APART = "woken, a CPU each"
WOKEN_APART_BY_HAND = "  by hand, a CPU each"
# scale.py measures the first two rows once more, with all threads on one CPU.
WOKEN_TOGETHER = "woken, one CPU"
WOKEN_TOGETHER_BY_HAND = "  by hand, one CPU"
OPERATIONS = {  # Name of a row: at most this many nanoseconds, or None.
    WOKEN: None,
    WOKEN_BY_HAND: None,
    WOKEN_APART: None,
    WOKEN_APART_BY_HAND: None,
    WOKEN_TOGETHER: None,
    WOKEN_TOGETHER_BY_HAND: None,
    "queue between threads, item": 200,
    "queue between threads, in groups": None,
    "run_on, 100 in flight, CPU": 1000,
    "socket handed over, CPU": 2000,
}
# Times what it costs by hand, in (row, row by hand). Not where the kernel places the threads: then
# the ratio says how often it puts both on one CPU.
WOKEN_LIMIT = 1.1
WOKEN_GOALS = ((WOKEN_APART, WOKEN_APART_BY_HAND), (WOKEN_TOGETHER, WOKEN_TOGETHER_BY_HAND))


# Metrics of a round's result.

def load_share(result):
    return result["load_cpu_ns_per_message"] * result["messages_per_s"] / 1e9
