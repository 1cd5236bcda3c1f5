#!/usr/bin/env python3
"""Updates EndpointSlices of the benchmark's cluster at a rate: one endpoint's readiness changes.

usage: churn.py DIRECTORY RATE SECONDS [wide]     DIRECTORY is that of tests/controlplane/start

With wide it is the slices of 100 endpoints that change.
"""

import random
import sys
import threading
import time

from api import Api
from fill import ENDPOINTS, NAMESPACES, SERVICES, WIDE, WIDE_ENDPOINTS

CONNECTIONS = 4


def main(directory, rate, seconds, is_wide):
    end, done = time.monotonic() + seconds, []
    choose = one_of_the_wide if is_wide else one_of_all
    known = standing(Api(directory)) if is_wide else {}
    threads = [
        threading.Thread(target=work, args=(directory, rate, end, choose, known, number, done)) for number in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(len(done))


def one_of_all(dice):
    """A slice's namespace and name, and how many endpoints it has."""
    return dice.randrange(NAMESPACES), f"s-{dice.randrange(SERVICES - 1)}-abcde", ENDPOINTS


def one_of_the_wide(dice):
    return 0, f"s-{dice.choice(WIDE)}-wide", WIDE_ENDPOINTS


def standing(api):
    """How ready the endpoints of the wide slices are, by path and place: an earlier run may have left many as this one would
    make them, and what changes nothing is no update."""
    states = {}
    for service in WIDE:
        path = path_of(0, f"s-{service}-wide")
        _, slice = api.request("GET", path)
        for number, endpoint in enumerate(slice["endpoints"]):
            states[path, ready_of(number)] = endpoint["conditions"]["ready"]
    return states


def path_of(namespace, name):
    return f"/apis/discovery.k8s.io/v1/namespaces/ns-{namespace}/endpointslices/{name}"


def ready_of(endpoint):
    return f"/endpoints/{endpoint}/conditions/ready"


def work(directory, rate, end, choose, known, number, done):
    api, dice, begun, count = Api(directory), random.Random(), time.monotonic(), 0
    states = dict(known)
    while time.monotonic() < end:
        namespace, name, endpoints = choose(dice)
        path = path_of(namespace, name)
        # Each connection has endpoints of its own. A change, unless an earlier run has left it so: among 99,000 endpoints
        # that is rare.
        ready = ready_of(dice.randrange(number, endpoints, CONNECTIONS))
        states[path, ready] = not states.get((path, ready), True)
        change = [{"op": "replace", "path": ready, "value": states[path, ready]}]
        status, _ = api.request("PATCH", path, change, "application/json-patch+json")
        if status == 200:
            done.append(path)
        count += 1
        time.sleep(max(0.0, begun + count * CONNECTIONS / rate - time.monotonic()))


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[4:] not in ([], ["wide"]):
        sys.exit(__doc__)
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), bool(sys.argv[4:]))
