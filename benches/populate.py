#!/usr/bin/env python3
"""Fills a real API server with the benchmark's cluster (fill.py) and its slices of 100 endpoints; a minute or two.

usage: populate.py DIRECTORY [PODS]     DIRECTORY is that of tests/controlplane/start; PODS a namespace, none by default

An object that is there already is left as it is.
"""

import queue
import sys
import threading
import time

from api import Api, collection
from fill import NAMESPACES, cluster, wide_slices

CONNECTIONS = 12


def main(directory, pods):
    begun, faults = time.monotonic(), []
    items = cluster() + wide_slices() + [pod(namespace, number) for namespace in range(NAMESPACES) for number in range(pods)]
    for kind in ("Namespace", "Service", "EndpointSlice", "Pod"):
        create_all(directory, [item for item in items if item["kind"] == kind], faults)
    if faults:
        sys.exit(f"{len(faults)} objects were refused, such as {faults[0]}")
    print(f"{len(items)} objects in {time.monotonic() - begun:.0f} s")


def pod(namespace, number):
    metadata = {"name": f"p-{number}", "namespace": f"ns-{namespace}", "labels": {"app": f"s-{number}"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "c", "image": "x"}]}}


def create_all(directory, items, faults):
    waiting = queue.SimpleQueue()
    for item in items + [None] * CONNECTIONS:
        waiting.put(item)
    threads = [threading.Thread(target=create, args=(directory, waiting, faults)) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def create(directory, waiting, faults):
    api = Api(directory)
    while item := waiting.get():
        status, answer = api.request("POST", collection(item), item)
        if status not in (201, 409):
            faults.append((item["metadata"], status, answer))
            return


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 0)
