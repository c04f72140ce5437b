# SPDX-License-Identifier: MIT
"""The chat servers, workloads and goals of bench/chat.py."""

from dataclasses import dataclass

from comparison.series import Server


@dataclass(frozen=True)
class ChatWorkload:
    members: int
    rooms: int
    rate: float  # Messages per second of all members together.
    size: int = 64  # Bytes of text per message.

    @property
    def title(self):
        rooms = "1 room" if self.rooms == 1 else f"{self.rooms} rooms"
        return f"{self.members} members, {rooms}, {self.rate:g} msg/s"

    @property
    def offered(self):
        """Deliveries per second if the server keeps up."""
        return self.rate * self.members / self.rooms


CHAT_SERVERS = {
    server.key: server
    for server in (
        Server("ringlet", "ringlet", "examples/chat_server"),
        Server("limit", "liburing by hand", "bench/chat_limit"),
        Server("ringlet-epoll", "ringlet on epoll", "examples/chat_server",
               (("RINGLET_ENGINE", "epoll"),)),
    )
}

QUIET = ChatWorkload(500, 1, 10)
BUSY = ChatWorkload(500, 1, 100)
MANY_ROOMS = ChatWorkload(1000, 50, 1000)
SATURATED = ChatWorkload(500, 1, 1000)

CHAT_WORKLOADS = {"quiet": QUIET, "busy": BUSY, "rooms": MANY_ROOMS, "saturated": SATURATED}

CPU_LIMIT = 1.15  # Times the CPU per delivery of the hand-written server.
CPU_GOALS = (BUSY, MANY_ROOMS)
P99_LIMIT_MS = 5
P99_GOAL = QUIET


# Metrics of a round's result.

def cpu_ns(result):
    return result["server_cpu_ns_per_delivery"]


def deliveries_per_s(result):
    return result["deliveries_per_s"]


def server_share(result):
    return cpu_ns(result) * deliveries_per_s(result) / 1e9


def load_share(result):
    return result["load_core_share"]


def latency_ms(which):
    return lambda result: result["latency_ns"][which] / 1e6
