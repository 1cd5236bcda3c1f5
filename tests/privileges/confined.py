#!/usr/bin/env python3
"""Runs a program as a container would be run, asks it one question over UDP, and says how it went.
usage: confined.py NAME UID PORT CAPABILITY PROGRAM   (CAPABILITY: NET_BIND_SERVICE or none)
needs: root, python3-seccomp, util-linux, and to be run in a network of its own. Prints "ok - NAME" or "not ok - NAME: why"."""
import errno
import os
import socket
import subprocess
import sys
import tempfile
import time

import seccomp

# Beside what docs/operations.md lists: what returns to nobody, what the clock takes where the kernel lends no page for it, and what
# the loader of a program takes that is not static, as the one of the tests.
BESIDE = """clock_gettime clock_nanosleep clone exit exit_group fstat mremap nanosleep pread64 restart_syscall sched_yield tgkill""".split()


def listed():
    """The system calls that docs/operations.md names."""
    page = open(os.environ["SYSTEM_CALLS"], encoding="utf-8").read()
    return page.split("## System calls")[1].split("```")[1].split()


def confine():
    """In the child, before the program: the filter is inherited and cannot be taken off. Nothing else is allowed."""
    allow = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in [*listed(), *BESIDE]:
        try:
            allow.add_rule(seccomp.ALLOW, name)
        except (OSError, RuntimeError, ValueError):
            pass  # not of this architecture
    # As runtimes answer, since a filter cannot see its arguments: clone is tried instead.
    allow.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    allow.load()


def ask(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.sendto(b"\0\7\1\0\0\1\0\0\0\0\0\0\1a\4test\0\0\1\0\1", ("127.0.0.1", port))
        return client.recv(512)[3] & 15


def main(name, uid, port, capability, program):
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        corefile = os.path.join(work, "Corefile")
        with open(corefile, "w") as file:
            file.write(f".:{port} {{\n    bind 127.0.0.1\n    whoami\n    errors\n}}\n")
        kept = "+net_bind_service" if capability == "NET_BIND_SERVICE" else "-all"
        drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs",
                "--bounding-set=-all" + ("," + kept if kept != "-all" else "")]
        if kept != "-all":
            drop += [f"--inh-caps=-all,{kept}", f"--ambient-caps=-all,{kept}"]
        else:
            drop += ["--inh-caps=-all", "--ambient-caps=-all"]
        command = [*drop, sys.executable, "-c", CONFINED, program, "-conf", corefile]
        command = ["unshare", "--mount", "sh", "-c", 'mount -o remount,bind,ro / && ! touch /.written 2>/dev/null && exec "$@"', "-", *command]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        answer = None
        for _ in range(50):
            try:
                answer = ask(port)
                break
            except OSError:
                time.sleep(0.1)
        server.kill()
        output = server.communicate()[0]
        if answer == 0:
            print(f"ok - {name}")
        else:
            print(f"not ok - {name}: {' '.join(output.splitlines()[-3:])}")


CONFINED = "import runpy, os, sys; runpy.run_path(%r)['confine'](); os.execv(sys.argv[1], sys.argv[1:])" % os.path.abspath(__file__)

if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(arguments[0], arguments[1], int(arguments[2]), arguments[3], arguments[4])
