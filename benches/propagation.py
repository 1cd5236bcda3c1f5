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

# Seconds that an answer is waited for.
LONGEST = 40
PATH = "/api/v1/namespaces/ns-0/services"


def measure(directory, port, rounds):
    """Milliseconds from the API server's reply to the first right answer: after creation, and after deletion."""
    api, client = Api(directory), Client(port)
    created, deleted = [], []
    for _ in range(rounds):
        up, down = measure_some(api, client, 1)
        created += up
        deleted += down
    return created, deleted


def measure_at_once(directory, port, services):
    """The same with all Services made and deleted together: for a server that remembers what was not there for long."""
    return measure_some(Api(directory), Client(port), services)


def measure_some(api, client, services):
    names = [f"probe-{time.time_ns()}-{number}" for number in range(services)]
    asked = {service: f"{service}.ns-0.svc.cluster.local" for service in names}
    for name in asked.values():
        client.ask(name)
    created = until(client, {asked[service]: create(api, service) for service in names}, True)
    deleted = until(client, {asked[service]: delete(api, service) for service in names}, False)
    return created, deleted


def create(api, service):
    """When the API server had it."""
    body = {"metadata": {"name": service}, "spec": {"ports": [{"port": 80}]}}
    status, answer = api.request("POST", PATH, body)
    if status != 201:
        raise SystemExit(f"{status}: {answer}")
    return time.perf_counter()


def delete(api, service):
    api.request("DELETE", f"{PATH}/{service}")
    return time.perf_counter()


def until(client, begun, wanted):
    """Milliseconds until each name has records, or has none any more; as long as was waited where that is not so then."""
    times = {}
    end = time.perf_counter() + LONGEST
    while len(times) < len(begun) and time.perf_counter() < end:
        for name in begun.keys() - times.keys():
            reply = client.ask(name)
            if reply and (reply[0] == 0 and reply[1] > 0) == wanted:
                times[name] = (time.perf_counter() - begun[name]) * 1e3
        time.sleep(0.0002)
    return [times.get(name, LONGEST * 1e3) for name in begun]


def summary(times):
    return {"median_ms": round(statistics.median(times), 2), "max_ms": round(max(times), 2), "rounds": len(times)}


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    up, down = measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) == 4 else 50)
    print("created and answered", summary(up))
    print("deleted and gone", summary(down))
