#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The first program of docs/for_gevent_users.md, with gevent."""

import gevent

def eat():
    print("eating ...")
    gevent.sleep(1.5)
    print("done eating")

def play():
    print("playing ...")
    gevent.sleep(1)
    print("done playing")

gevent.joinall([gevent.spawn(eat), gevent.spawn(play)])
