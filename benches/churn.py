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
    threads = [threading.Thread(target=work, args=(directory, rate, end, choose, done)) for _ in range(CONNECTIONS)]
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


def work(directory, rate, end, choose, done):
    api, dice, begun, count = Api(directory), random.Random(), time.monotonic(), 0
    states = {}
    while time.monotonic() < end:
        namespace, name, endpoints = choose(dice)
        path = f"/apis/discovery.k8s.io/v1/namespaces/ns-{namespace}/endpointslices/{name}"
        ready = f"/endpoints/{dice.randrange(endpoints)}/conditions/ready"
        # A change, unless an earlier run has left it so: among 99,000 endpoints that is rare.
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
