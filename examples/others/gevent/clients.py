#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The client that the notes on gevent end with: 500 threads, each a client that says hello and
waits for the answer. Works with any server that sends bytes back, of ringlet or of gevent.

usage: clients.py HOST PORT [CLIENTS [MESSAGES]]
"""

import socket
import sys
import threading


def client(where, messages, failures):
    name = threading.current_thread().name
    try:
        with socket.create_connection(where, timeout=30) as server:
            for count in range(messages):
                text = f"{name} says hello {count}".encode()
                server.sendall(text)
                answer = b""
                while len(answer) < len(text):
                    part = server.recv(1024)
                    if not part:
                        raise ConnectionError("the server has closed the connection")
                    answer += part
                if answer != text:
                    raise ValueError(f"sent {text}, received {answer}")
    except (OSError, ValueError) as error:
        failures.append(f"{name}: {error}")


def main(host, port, clients=500, messages=20):
    failures = []
    threads = [
        threading.Thread(target=client, args=((host, port), messages, failures))
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"{clients - len(failures)} of {clients} clients got {messages} answers each")
    return 1 if failures else 0


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
