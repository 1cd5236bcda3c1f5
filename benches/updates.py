"""What an update of an EndpointSlice costs servers that are told of the same ones."""

import os
import statistics
import subprocess
import time

from measure import BACKGROUND, LOAD_CORE, SERVER_CORE, cpu_seconds

HERE = os.path.dirname(os.path.abspath(__file__))
# Updates a second.
RATE = 150
# Turns of updates and of rest: for how many seconds, how often.
SECONDS, ROUNDS = 4, 6
# Queries a second of each server, where updates come beside queries.
QUERIES = 1000


def costs(lab, control_plane, told, queries):
    """CPU microseconds an update of 100 endpoints, more than what the rest around them takes; `told` has process and port of
    each server. The queries come from the servers' core: from the other one the API server would hold them up, and what
    arrives late arrives many at a time, which costs a server less."""
    loads = []
    if queries:
        for _, port in told.values():
            load = [f"{lab.tools}/dnspace", f"127.0.0.1:{port}", lab.questions("mix"), 3 * SECONDS * ROUNDS, queries]
            loads.append(lab.start(SERVER_CORE, *load))
    each = {name: [] for name in told}
    # What begins with the first updates is none of theirs.
    churn(control_plane, SECONDS, "wide")
    rest = used_at_rest(told)
    for _ in range(ROUNDS):
        done, took, busy = used(told, lambda: churn(control_plane, SECONDS, "wide"))
        before, rest = rest, used_at_rest(told)
        for name in told:
            idle = (before[name] + rest[name]) / 2 * took
            each[name].append((busy[name] - idle) / max(done, 1) * 1e6)
    for load in loads:
        lab.stop(load)
    return {name: summary(of) for name, of in each.items()}


def latencies(lab, control_plane, port):
    """The 99th percentile of queries from the server's core, in microseconds, at rest and while updates go on."""
    rest = lab.pace(port, "mix", SECONDS, QUERIES, SERVER_CORE)
    with subprocess.Popen(command(control_plane, SECONDS + 1, "wide"), stdout=subprocess.DEVNULL):
        # Until the first update.
        time.sleep(0.5)
        beside = lab.pace(port, "mix", SECONDS, QUERIES, SERVER_CORE)
    return {"at_rest": rest["p99_us"], "beside_updates": beside["p99_us"]}


def summary(microseconds):
    mean, median = statistics.mean(microseconds), statistics.median(microseconds)
    return {"median": round(median), "mean": round(mean), "each": [round(one) for one in microseconds]}


def used(told, do):
    """What doing something returned, how long it took, and the CPU seconds of each server meanwhile."""
    began, before = time.monotonic(), {name: cpu_seconds(pid) for name, (pid, _) in told.items()}
    returned = do()
    took = time.monotonic() - began
    return returned, took, {name: cpu_seconds(pid) - before[name] for name, (pid, _) in told.items()}


def used_at_rest(told):
    """CPU seconds of each server in a second without updates."""
    _, took, seconds = used(told, lambda: time.sleep(SECONDS))
    return {name: of / took for name, of in seconds.items()}


def churn(control_plane, seconds, *more):
    """Updates from now on. Returns how many there were."""
    churning = command(control_plane, seconds, *more)
    return int(subprocess.run(churning, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout)


def command(control_plane, seconds, *more):
    churning = [f"{HERE}/churn.py", control_plane, str(RATE), str(seconds), *more]
    return ["taskset", "-c", LOAD_CORE, *BACKGROUND, *churning]
