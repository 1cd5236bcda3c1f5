#!/usr/bin/env python3
"""Writes the benchmark's cluster as a manifest, and the questions that are asked of it.

usage: fill.py DIRECTORY [--questions]     with --questions without the manifest
environment: SHAPE (100x100x10: namespaces, Services of each, endpoints of each Service)

DIRECTORY/cluster.json     100 namespaces of 100 Services: of each hundred one is an ExternalName, nine are headless, the
                           rest have a cluster IP; all but the ExternalNames have an EndpointSlice of ten endpoints
DIRECTORY/questions/ROW    `name TYPE` lines, as dnsperf reads them, one file a row of the table
"""

import json
import os
import random
import sys

# Namespaces, Services of each, endpoints of each Service.
NAMESPACES, SERVICES, ENDPOINTS = map(int, os.environ.get("SHAPE", "100x100x10").split("x"))
# Services that an API server is given a second slice of, of 100 endpoints: their cluster IPs are what they are without.
WIDE, WIDE_ENDPOINTS = [service for service in range(SERVICES) if service % 10 != 9][:36], 100
QUESTIONS = 20_000
ZONE = "cluster.local"
# The same cluster and the same questions in each run.
DICE = random.Random(7)


def main(directory, only_questions):
    os.makedirs(f"{directory}/questions", exist_ok=True)
    for row, lines in questions().items():
        with open(f"{directory}/questions/{row}", "w") as file:
            file.writelines(line + "\n" for line in lines)
    if only_questions:
        return
    items = cluster()
    with open(f"{directory}/cluster.json", "w") as file:
        json.dump({"apiVersion": "v1", "kind": "List", "items": items}, file)
    print(f"{len(items)} objects, {sum(len(item.get('endpoints', [])) for item in items)} endpoints")


def kind_of(namespace, service):
    number = namespace * SERVICES + service
    if number % 100 == 99:
        return "external"
    return "headless" if number % 10 == 9 else "cluster"


def cluster():
    items = []
    for namespace in range(NAMESPACES):
        items.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"ns-{namespace}"}})
        for service in range(SERVICES):
            items.append(service_object(namespace, service))
            if kind_of(namespace, service) != "external":
                items.append(slice_object(namespace, service))
    return items


def service_object(namespace, service):
    number, kind = namespace * SERVICES + service, kind_of(namespace, service)
    spec = {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "selector": {"app": f"s-{service}"}}
    if kind == "external":
        spec = {"type": "ExternalName", "externalName": "example.com"}
    elif kind == "headless":
        spec["clusterIP"] = "None"
    else:
        spec["clusterIP"] = f"10.{100 + (number >> 16)}.{(number >> 8) & 255}.{number & 255}"
    metadata = {"name": f"s-{service}", "namespace": f"ns-{namespace}"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def slice_object(namespace, service):
    first = (namespace * SERVICES + service) * ENDPOINTS
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"s-{service}-abcde",
            "namespace": f"ns-{namespace}",
            "labels": {"kubernetes.io/service-name": f"s-{service}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [endpoint(namespace, service, number) for number in range(first, first + ENDPOINTS)],
    }


def wide_slices():
    return [wide_slice(service) for service in WIDE]


def wide_slice(service):
    first = NAMESPACES * SERVICES * ENDPOINTS + service * WIDE_ENDPOINTS
    item = slice_object(0, service)
    item["metadata"]["name"] = f"s-{service}-wide"
    item["endpoints"] = [endpoint(0, service, number) for number in range(first, first + WIDE_ENDPOINTS)]
    return item


def endpoint(namespace, service, number):
    return {
        "addresses": [f"10.{128 + (number >> 16)}.{(number >> 8) & 255}.{number & 255}"],
        "conditions": {"ready": True},
        "targetRef": {"kind": "Pod", "name": f"s-{service}-{number}", "namespace": f"ns-{namespace}"},
    }


def questions():
    pairs = [(namespace, service) for namespace in range(NAMESPACES) for service in range(SERVICES)]
    of_kind = {kind: [pair for pair in pairs if kind_of(*pair) == kind] for kind in ("cluster", "headless")}

    def some(chosen):
        return DICE.choices(chosen, k=QUESTIONS)

    return {
        "hot": [f"{service_name(7, 3)} A"],
        "services": [f"{service_name(*pair)} A" for pair in some(of_kind["cluster"])],
        "nodata": [f"{service_name(*pair)} AAAA" for pair in some(of_kind["cluster"])],
        "search": [f"{searched(*pair)} A" for pair in some(pairs)],
        "mix": [mixed(*pair) for pair in some(pairs)],
        "headless": [f"{service_name(*pair)} A" for pair in some(of_kind["headless"])],
        "srv": [f"_http._tcp.{service_name(*pair)} SRV" for pair in some(of_kind["cluster"])],
        "pod": [pod() for _ in range(QUESTIONS)],
        "hit": [f"host-{number}.example.com A" for number in range(1000)],
        # dnsblast --unique makes a name of its own of each.
        "miss": ["00000000.example.com A"],
    }


def service_name(namespace, service):
    return f"s-{service}.ns-{namespace}.svc.{ZONE}"


def searched(namespace, service):
    """What a resolver asks first for a name that is whole already, by the search path of some pod."""
    return f"{service_name(namespace, service)}.ns-{DICE.randrange(NAMESPACES)}.svc.{ZONE}"


def pod():
    address = "-".join(str(DICE.randrange(256)) for _ in range(3))
    return f"10-{address}.ns-{DICE.randrange(NAMESPACES)}.pod.{ZONE} A"


def mixed(namespace, service):
    """35 % A, 25 % AAAA, 25 % misses of the search path, 7 % SRV, 8 % pods."""
    name, share = service_name(namespace, service), DICE.random()
    if share < 0.35:
        return f"{name} A"
    if share < 0.60:
        return f"{name} AAAA"
    if share < 0.85:
        suffix = DICE.choice([f"ns-{namespace}.svc.{ZONE}", f"svc.{ZONE}", ZONE])
        return f"{name}.{suffix} {DICE.choice(['A', 'AAAA'])}"
    return f"_http._tcp.{name} SRV" if share < 0.92 else pod()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--questions"]):
        sys.exit(__doc__)
    main(sys.argv[1], bool(sys.argv[2:]))
