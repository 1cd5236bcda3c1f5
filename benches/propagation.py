#!/usr/bin/env python3
"""From an event in the API server to the answer.

usage: propagation.py DIRECTORY DNS_PORT [ROUNDS]     DIRECTORY is that of tests/controlplane/start

Creates and deletes Services whose names were asked just before, which fills every cache, and asks each 0.2 ms.
"""

import statistics
import sys
import time

from api import Api
from client import Client

PATH = "/api/v1/namespaces/ns-0/services"


def measure(directory, port, rounds):
    """Milliseconds from the API server's reply to the first right answer: after creation, and after deletion."""
    api, client = Api(directory), Client(port)
    created, deleted = [], []
    for number in range(rounds):
        service = f"probe-{time.time_ns()}-{number}"
        name = f"{service}.ns-0.svc.cluster.local"
        client.ask(name)
        body = {"metadata": {"name": service}, "spec": {"ports": [{"port": 80}]}}
        status, answer = api.request("POST", PATH, body)
        if status != 201:
            raise SystemExit(f"{status}: {answer}")
        created.append(until(client, name, True))
        api.request("DELETE", f"{PATH}/{service}")
        deleted.append(until(client, name, False))
    return created, deleted


def until(client, name, wanted):
    begun = time.perf_counter()
    while time.perf_counter() - begun < 40:
        reply = client.ask(name)
        if reply and (reply[0] == 0 and reply[1] > 0) == wanted:
            return (time.perf_counter() - begun) * 1e3
        time.sleep(0.0002)
    return float("inf")


def summary(times):
    return {"median_ms": round(statistics.median(times), 2), "max_ms": round(max(times), 2), "rounds": len(times)}


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    up, down = measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) == 4 else 50)
    print("created and answered", summary(up))
    print("deleted and gone", summary(down))
