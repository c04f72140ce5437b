#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rows of micro_peers.py in Python with gevent, its modules patched as its users do, on its
default loop (libev).

    $ micro_gevent.py --rounds 3 --only yield
    yield                                  1236.0     1201.4

Like in micro.cpp: nanoseconds per operation, the median and the least of the rounds. There is no
row for a select of queues, which gevent does not have, and none for a channel: its Channel has no
room for an item, so it is a rendezvous.
"""

import gevent.monkey

gevent.monkey.patch_all()

import argparse
import threading
import time

import gevent
import gevent.event
import gevent.lock
import gevent.queue


def nothing():
    pass


def spawn_and_join(count):
    for _ in range(count):
        gevent.spawn(nothing).join()


def yields(count):
    for _ in range(count):
        gevent.sleep(0)


def locks(count):
    lock = threading.Lock()  # gevent's, a semaphore of one
    for _ in range(count):
        with lock:
            pass


def locks_handed_over(count):
    """The greenlet that unlocks may lock again before the one that waits, so this does less than in
    ringlet."""
    lock = threading.Lock()

    def in_turn():
        for _ in range(count // 2):
            with lock:
                gevent.sleep(0)

    gevent.joinall([gevent.spawn(in_turn), gevent.spawn(in_turn)])


def permits(count):
    two = gevent.lock.Semaphore(2)
    for _ in range(count):
        with two:
            pass


def conditions(count):
    """gevent has no condition of its own: Python's, on gevent's locks."""
    changed = threading.Condition(threading.Lock())
    whose = 0

    def take_turns(me):
        nonlocal whose
        with changed:
            for _ in range(count // 2):
                changed.wait_for(lambda: whose == me)
                whose = 1 - me
                changed.notify()

    gevent.joinall([gevent.spawn(take_turns, 0), gevent.spawn(take_turns, 1)])


def queue_of_one(count):
    items = gevent.queue.Queue(1)

    def push():
        for i in range(count):
            items.put(i)

    def pop():
        for _ in range(count):
            items.get()

    gevent.joinall([gevent.spawn(push), gevent.spawn(pop)])


def spawn_each(count):
    on = gevent.event.Event()
    on.set()
    gevent.joinall([gevent.spawn(on.wait) for _ in range(count)])


def wake_each(count):
    on = gevent.event.Event()
    begun = 0

    def wait():
        nonlocal begun
        begun += 1
        on.wait()

    waiting = [gevent.spawn(wait) for _ in range(count)]
    while begun != count:
        gevent.sleep(0)
    on.set()
    gevent.joinall(waiting)


ROWS = [
    ("spawn + join", 20_000, spawn_and_join),
    ("yield", 50_000, yields),
    ("mutex, lock and unlock", 500_000, locks),
    ("mutex, handed over (with a yield)", 20_000, locks_handed_over),
    ("semaphore, acquire and release", 500_000, permits),
    ("condition, notify and wake", 20_000, conditions),
    ("queue of 1, item handed over", 50_000, queue_of_one),
    ("100,000 fibers that need not wait", 100_000, spawn_each),
    ("100,000 fibers that one event wakes", 100_000, wake_each),
]


def main():
    parser = argparse.ArgumentParser(description="Measures the cost of single operations of gevent")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", metavar="NAME")
    options = parser.parse_args()
    for name, count, work in ROWS:
        if options.only not in (None, name):
            continue
        work(count // 10 + 1)
        each = []
        for _ in range(options.rounds):
            begin = time.perf_counter_ns()
            work(count)
            each.append((time.perf_counter_ns() - begin) / count)
        each.sort()
        print(f"{name:34} {each[len(each) // 2]:10.1f} {each[0]:10.1f}", flush=True)


if __name__ == "__main__":
    main()
