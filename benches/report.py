#!/usr/bin/env python3
"""Prints one row of the table of benches/run and appends it to the results.

usage: report.py RESULTS SERVER ROW LABEL ECHO_BEFORE LOAD ECHO_AFTER   (the last three as dnsblast prints them)
"""

import json
import sys

RCODES = {"0": "NOERROR", "1": "FORMERR", "2": "SERVFAIL", "3": "NXDOMAIN", "5": "REFUSED"}

results, server, row, label, *measured = sys.argv[1:]
before, load, after = (json.loads(text) for text in measured)
echo = (before["cpu_us"] + after["cpu_us"]) / 2
ratio = load["cpu_us"] / echo if echo else float("nan")
with open(results, "a") as file:
    line = {"server": server, "row": row, "ratio": round(ratio, 2), "load": load, "echo": [before, after]}
    file.write(json.dumps(line) + "\n")

total = sum(load["rcodes"].values()) or 1
rcodes = ", ".join(f"{RCODES.get(code, code)} {count / total:.0%}" for code, count in load["rcodes"].items())
lost = f", {load['lost']} lost" if load["lost"] else ""
print(
    f"{label:36} {load['cpu_us']:9.2f} {load['user_us']:9.2f} {echo:9.2f} {ratio:6.2f}× "
    f"{load['per_second']:9,.0f}  {rcodes}, {load['answer_records']:.1f} answers{lost}"
)
