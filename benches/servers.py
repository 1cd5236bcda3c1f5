"""The servers that are compared: how each is configured and started."""

import os
import shutil
import subprocess

from fill import ZONE, cluster, service_name
from measure import SERVER_CORE

# Debian's package of each, and the program it brings.
PACKAGES = {"nsd": "nsd", "knot": "knotd", "unbound": "unbound", "dnsmasq-base": "dnsmasq", "dnsperf": "dnsperf"}
ZONE_ROWS = ["hot", "services", "nodata", "search", "mix", "headless", "srv"]
FORWARD_ROWS = ["hit", "miss"]


def install():
    """Installs what is missing, as root on Debian; otherwise what is missing is left out of the table."""
    missing = [package for package, program in PACKAGES.items() if not found(program)]
    if not missing or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    # A package with a service must not start it here.
    policy = "/usr/sbin/policy-rc.d"
    made = not os.path.exists(policy)
    if made:
        with open(policy, "w") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(policy, 0o755)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]):
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if made:
        os.remove(policy)


def found(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def zone_file(path):
    """The same names as a zone file, for servers that know zones and no clusters."""
    lines = [f"$ORIGIN {ZONE}.", "$TTL 30", "@ SOA ns.dns hostmaster 1 7200 1800 86400 30", "@ NS ns.dns", "ns.dns A 127.0.0.1"]
    endpoints, services = {}, []
    for item in cluster():
        metadata = item["metadata"]
        if item["kind"] == "EndpointSlice":
            owner = (metadata["namespace"], metadata["labels"]["kubernetes.io/service-name"])
            endpoints[owner] = [endpoint["addresses"][0] for endpoint in item["endpoints"]]
        elif item["kind"] == "Service":
            services.append((metadata["namespace"], metadata["name"], item["spec"]))
    for namespace, name, spec in services:
        owner = f"{name}.{namespace}.svc"
        if "externalName" in spec:
            lines.append(f"{owner} CNAME {spec['externalName']}.")
            continue
        addresses = endpoints[namespace, name] if spec["clusterIP"] == "None" else [spec["clusterIP"]]
        lines += [f"{owner} A {address}" for address in addresses]
        targets = [address.replace(".", "-") + "." + owner for address in addresses] if len(addresses) > 1 else [owner]
        lines += [f"_http._tcp.{owner} SRV 0 {100 // len(targets)} 80 {target}" for target in targets]
        if len(addresses) > 1:
            lines += [f"{target} A {address}" for target, address in zip(targets, addresses)]
    with open(path, "w") as file:
        file.writelines(line + "\n" for line in lines)


def dunlin(lab, binary, port, upstream, source, core=SERVER_CORE, lines="", pods="insecure"):
    """`source` is the line of the kubernetes block that says where objects come from, `lines` are more of the server's."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(f"{here}/Corefile") as file:
        text = file.read().replace("manifests {$CLUSTER}", source).replace("pods insecure", f"pods {pods}")
    text = text.replace("    loadbalance\n", f"    loadbalance\n    {lines}\n")
    values = {"PORT": port, "UPSTREAM_PORT": upstream, "HEALTH_PORT": port + 3, "READY_PORT": port + 4, "METRICS_PORT": port + 5}
    for name, value in values.items():
        text = text.replace("{$%s}" % name, str(value))
    path = write(lab, f"Corefile.{port}", text)
    return lab.start(core, binary, "-conf", path)


def nsd(lab, port):
    return lab.start(SERVER_CORE, found("nsd"), "-d", "-c", write(lab, "nsd.conf", f"""
server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    do-ip6: no
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{lab.work}"
    zonelistfile: "{lab.work}/nsd.list"
    xfrdfile: "{lab.work}/nsd.xfrd"
    pidfile: "{lab.work}/nsd.pid"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: {ZONE}
    zonefile: zone
"""))


def knot(lab, port):
    return lab.start(SERVER_CORE, found("knotd"), "-c", write(lab, "knot.conf", f"""
server:
    listen: 127.0.0.1@{port}
    rundir: {lab.work}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {lab.work}/knot
zone:
  - domain: {ZONE}
    file: {lab.work}/zone
    zonefile-sync: -1
    journal-content: none
"""))


def unbound(lab, port, upstream):
    return lab.start(SERVER_CORE, found("unbound"), "-d", "-c", write(lab, "unbound.conf", f"""
server:
    interface: 127.0.0.1
    port: {port}
    num-threads: 1
    module-config: "iterator"
    do-not-query-localhost: no
    username: ""
    chroot: ""
    use-syslog: no
    pidfile: ""
forward-zone:
    name: .
    forward-addr: 127.0.0.1@{upstream}
"""))


def dnsmasq(lab, port, upstream):
    options = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root", "--bind-interfaces", "--conf-file=/dev/null"]
    addresses = ["--listen-address=127.0.0.1", f"--port={port}", f"--server=127.0.0.1#{upstream}"]
    return lab.start(SERVER_CORE, found("dnsmasq"), *options, *addresses, "--cache-size=10000", "--dns-forward-max=5000")


def write(lab, name, text):
    path = f"{lab.work}/{name}"
    with open(path, "w") as file:
        file.write(text)
    return path
