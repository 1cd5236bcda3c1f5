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

# What the default profiles of container runtimes allow only with a capability, or never.
REFUSED = """acct add_key bpf chroot clock_adjtime clock_settime create_module delete_module finit_module get_mempolicy
init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind mount move_mount move_pages
name_to_handle_at open_by_handle_at open_tree perf_event_open pivot_root process_vm_readv process_vm_writev ptrace
quotactl reboot request_key set_mempolicy setdomainname sethostname setns settimeofday stime swapoff swapon sysfs syslog
umount2 unshare userfaultfd vhangup io_uring_setup io_uring_enter io_uring_register fsopen fsconfig fsmount""".split()


def confine():
    """In the child, before the program: the filter is inherited and cannot be taken off."""
    refuse = seccomp.SyscallFilter(seccomp.ALLOW)
    for name in REFUSED:
        try:
            refuse.add_rule(seccomp.ERRNO(errno.EPERM), name)
        except (OSError, RuntimeError, ValueError):
            pass  # not of this architecture
    refuse.load()


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
