#!/usr/bin/env python3
"""Updates EndpointSlices of the benchmark's cluster at a rate: one endpoint's readiness changes.

usage: churn.py DIRECTORY RATE SECONDS     DIRECTORY is that of tests/controlplane/start
"""

import random
import sys
import threading
import time

from api import Api
from fill import ENDPOINTS, NAMESPACES, SERVICES

CONNECTIONS = 4


def main(directory, rate, seconds):
    end, done = time.monotonic() + seconds, []
    threads = [threading.Thread(target=work, args=(directory, rate, end, done)) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(len(done))


def work(directory, rate, end, done):
    api, dice, begun, count = Api(directory), random.Random(), time.monotonic(), 0
    states = {}
    while time.monotonic() < end:
        namespace, service = dice.randrange(NAMESPACES), dice.randrange(SERVICES - 1)
        path = f"/apis/discovery.k8s.io/v1/namespaces/ns-{namespace}/endpointslices/s-{service}-abcde"
        ready = f"/endpoints/{dice.randrange(ENDPOINTS)}/conditions/ready"
        # A change, unless an earlier run has left it so: among 99,000 endpoints that is rare.
        states[path, ready] = not states.get((path, ready), True)
        change = [{"op": "replace", "path": ready, "value": states[path, ready]}]
        status, _ = api.request("PATCH", path, change, "application/json-patch+json")
        if status == 200:
            done.append(service)
        count += 1
        time.sleep(max(0.0, begun + count * CONNECTIONS / rate - time.monotonic()))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
