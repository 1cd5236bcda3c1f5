"""What one server costs under one load: runs the tools of benches/tools and reads /proc."""

import json
import os
import re
import statistics
import subprocess
import time

SERVER_CORE = os.environ.get("SERVER_CORE", "0")
LOAD_CORE = os.environ.get("LOAD_CORE", "1")
# What is not measured comes behind what is.
BACKGROUND = ["nice", "-n", "15"]
SECONDS = float(os.environ.get("SECONDS_A_ROW", "2"))
ECHO_SECONDS = 0.7
ROUNDS = int(os.environ.get("ROUNDS", "3"))
# Seconds that no run of a tool takes.
LONGEST = 60
# Misses wait for the upstream, so that fewer in flight show the same cost without losses.
ARGUMENTS = {"miss": ["--unique", "--window", "4"]}


class Lab:
    """Where the tools and questions are, and the processes that were started."""

    def __init__(self, tools, work):
        self.tools, self.work, self.processes = tools, work, []

    def start(self, core, *command):
        """Starts a process on a core; its output goes to the working directory."""
        with open(f"{self.work}/output", "ab") as output:
            arguments = ["taskset", "-c", core, *map(str, command)]
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.processes.append(process)
        return process

    def stop(self, process):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.processes.remove(process)

    def stop_all(self):
        for process in list(self.processes):
            self.stop(process)

    def blast(self, pid, port, row, seconds):
        """As many questions of a row as the server answers. Returns what dnsblast prints."""
        return self.tool("dnsblast", f"127.0.0.1:{port}", self.questions(row), seconds, "--pid", pid, *ARGUMENTS.get(row, []))

    def pace(self, port, row, seconds, rate, core=LOAD_CORE):
        """Questions at a fixed rate. Returns what dnspace prints."""
        return self.tool("dnspace", f"127.0.0.1:{port}", self.questions(row), seconds, rate, core=core)

    def tool(self, name, *arguments, core=LOAD_CORE):
        command = ["taskset", "-c", core, f"{self.tools}/{name}", *map(str, arguments)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST).stdout)

    def cost_beside(self, pid, port, row, seconds):
        """CPU microseconds a query of a server that has both cores, with as much load on the one as on the other."""
        before = cpu_seconds(pid)
        command = [f"{self.tools}/dnsblast", f"127.0.0.1:{port}", self.questions(row), str(seconds), "--flows", "32"]
        loads = [
            subprocess.Popen(["taskset", "-c", core, *command], stdout=subprocess.PIPE, text=True)
            for core in (SERVER_CORE, LOAD_CORE)
        ]
        answered = sum(json.loads(load.communicate(timeout=LONGEST)[0])["received"] for load in loads)
        return (cpu_seconds(pid) - before) / max(answered, 1) * 1e6

    def questions(self, row):
        return f"{self.work}/questions/{row}"

    def cost(self, echo, server, row):
        """The row's CPU time a query beside the echo's: rounds with the echo before and behind, and their medians."""
        (echo_pid, echo_port), (pid, port) = echo, server
        self.blast(pid, port, row, 0.5)
        echoes, loads = [self.blast(echo_pid, echo_port, row, ECHO_SECONDS)], []
        for _ in range(ROUNDS):
            loads.append(self.blast(pid, port, row, SECONDS / ROUNDS))
            echoes.append(self.blast(echo_pid, echo_port, row, ECHO_SECONDS))
        beside = [(before["cpu_us"] + after["cpu_us"]) / 2 for before, after in zip(echoes, echoes[1:])]
        # A machine that stood still for a round measured nothing in it.
        rounds = [(load, echo) for load, echo in zip(loads, beside) if load["cpu_us"] and echo]
        if not rounds:
            raise SystemExit(f"{row}: no round was measured; is something else using core {SERVER_CORE} or {LOAD_CORE}?")
        loads, beside = [load for load, _ in rounds], [echo for _, echo in rounds]
        middle = lambda key: statistics.median(load[key] for load in loads)
        return {
            "row": row,
            "cpu_us": middle("cpu_us"),
            "user_us": middle("user_us"),
            "echo_us": statistics.median(beside),
            "ratio": statistics.median(load["cpu_us"] / echo for load, echo in rounds),
            "rounds": len(rounds),
            "per_second": middle("per_second"),
            "lost": sum(load["lost"] for load in loads),
            "rcodes": loads[0]["rcodes"],
        }


def memory(pid):
    """Resident megabytes: now, and at most so far."""
    with open(f"/proc/{pid}/status") as file:
        text = file.read()
    return [round(int(re.search(rf"{field}:\s+(\d+)", text)[1]) / 1024, 1) for field in ("VmRSS", "VmHWM")]


def cpu_seconds(pid):
    """How long the threads of a process have run so far, by the scheduler's count: ticks would miss short runs."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def busiest(pid):
    """Of a process and those below it, the one that has used most CPU time: a server may answer in a child."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                children.setdefault(int(file.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
        except OSError:
            pass  # It has ended since.
    family = [pid]
    for one in family:
        family += children.get(one, [])
    return max(family, key=cpu_seconds)


def tcp(port, questions):
    """Queries a second over eight pipelined connections, by dnsperf. None without it, or where it does not come to its end."""
    command = ["taskset", "-c", LOAD_CORE, "dnsperf", "-m", "tcp", "-c", "8", "-q", "128", "-s", "127.0.0.1", "-p", str(port)]
    try:
        said = subprocess.run([*command, "-d", questions, "-l", "3"], capture_output=True, text=True, timeout=LONGEST).stdout
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"Queries per second:\s+([0-9.]+)", said)
    return round(float(found[1])) if found else None


def wait_for(what, seconds, ready):
    """Waits until `ready` returns something true, and returns how long that took."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if ready():
            return time.monotonic() - begun
        time.sleep(0.002)
    raise SystemExit(f"{what} did not become ready in {seconds} s")
