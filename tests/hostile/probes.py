"""An agent's program that tries to get out.

Run inside a sandbox; prints a JSON table: attempt -> what it got, or why not.

Each attempt is a function that returns normally when it got through the wall. Its first argument has what the host
prepared: see `arena.py`.
"""

# The calls themselves are what is tried:
# ruff: noqa: PTH101, PTH104, PTH108, PTH109, PTH110, PTH115, PTH116, PTH120, PTH123, PTH208

import array
import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import signal
import socket
import sys
import time
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"


class Held(Exception):
    """The wall held."""


def need_same_numbers(host):
    """In a process namespace of its own the host's numbers mean nothing, or somebody else."""
    with contextlib.suppress(OSError):
        if os.readlink("/proc/self/ns/pid") != host["processes"]:
            raise Held("another process namespace")


def call(number, *arguments):
    """A raw system call; anything but an error means that it got through."""
    result = libc.syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


# -- network ---------------------------------------------------------------------------------------------------------


def tcp_loopback(host):
    socket.create_connection(("127.0.0.1", host["port"]), timeout=2).close()


def tcp_outside(host):
    socket.create_connection(("192.0.2.1", 80), timeout=1).close()


def udp(host):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", host["port"]))


def ipv6(host):
    socket.socket(socket.AF_INET6, socket.SOCK_STREAM)


def bind_port(host):
    socket.create_server(("127.0.0.1", 0))


def netlink(host):
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)


def packet(host):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)


def vsock(host):
    socket.socket(40, socket.SOCK_STREAM)


def alg(host):
    socket.socket(38, socket.SOCK_SEQPACKET)


def unix_path(host):
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(host["unix"])


def unix_abstract(host):
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect("\0" + host["abstract"])


def unix_datagram_path(host):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", host["datagram"])


def unix_pair_redirected(host):
    left, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.sendto(b"x", host["datagram"])


def unix_raw_pair_redirected(host):
    left, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_RAW)
    left.connect(host["datagram"])


# -- reading ---------------------------------------------------------------------------------------------------------


def read_shadow(host):
    Path("/etc/shadow").read_bytes()


def read_passwd(host):
    Path("/etc/passwd").read_bytes()


def read_canary(host):
    Path(host["canary"]).read_bytes()


def read_parent_of_folder(host):
    (Path.cwd().parent / "journal.sqlite").read_bytes()


def read_real_parent_of_folder(host):
    Path(host["journal"]).read_bytes()


def list_root_home(host):
    if len(os.listdir(host["home"])) <= 1:
        raise Held("only the way to the interpreter")


def environ_of_first(host):
    if b"=" not in Path("/proc/1/environ").read_bytes():
        raise Held("empty")


def environ_of_engine(host):
    need_same_numbers(host)
    if b"SECRET" not in Path(f"/proc/{host['engine']}/environ").read_bytes():
        raise Held("not the engine's")


def command_line_of_victim(host):
    need_same_numbers(host)
    if b"sleep" not in Path(f"/proc/{host['victim']}/cmdline").read_bytes():
        raise Held("not the victim's")


def memory_of_any(host):
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (os.getpid(), os.getppid()):
            with contextlib.suppress(OSError), open(f"/proc/{name}/mem", "r+b"):
                if int(name) != host["self"]:
                    return
    raise Held("none opened")


def maps_of_first(host):
    if not Path("/proc/1/maps").read_bytes():
        raise Held("empty")


def secret_in_environment(host):
    if not any("SECRET" in key for key in os.environ):
        raise Held("no secret")


def find_secret_in_proc(host):
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if b"SECRET" in path.read_bytes():
                return
    raise Held("no secret")


def inherited_descriptors(host):
    if not host["inherited"]:
        raise Held("none")


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


# -- writing ---------------------------------------------------------------------------------------------------------


def write_canary(host):
    with open(host["canary"], "a") as file:
        file.write("x")


def write_usr(host):
    Path("/usr/hostile").write_text("x")


def write_root(host):
    Path("/hostile").write_text("x")


def write_etc(host):
    Path("/etc/hostile").write_text("x")


def write_dev(host):
    Path("/dev/hostile").write_text("x")


def write_real_tmp(host):
    Path(host["base"], "hostile").write_text("x")


def write_interpreter(host):
    with open(os.path.realpath(sys.executable), "r+b"):
        pass


def write_library(host):
    Path(os.__file__).with_name("hostile.py").write_text("x")


def write_packages(host):
    Path(sys.path[1], "hostile.py").write_text("x")


def truncate_canary(host):
    os.truncate(host["canary"], 0)


def truncate_by_reading(host):
    os.close(os.open(host["canary"], os.O_RDONLY | os.O_TRUNC))


def rename_canary(host):
    os.rename(host["canary"], "taken")


def link_canary(host):
    os.link(host["canary"], "linked")


def remove_canary(host):
    os.unlink(host["canary"])


def change_mode_of_canary(host):
    os.chmod(host["canary"], 0o600)
    if os.stat(host["canary"]).st_mode & 0o777 != 0o600:
        raise Held("without effect")


def change_times_of_canary(host):
    os.utime(host["canary"], (1, 1))
    if os.stat(host["canary"]).st_mtime != 1:
        raise Held("without effect")


def change_owner_of_canary(host):
    os.chown(host["canary"], os.getuid(), -1)


def attribute_on_canary(host):
    os.setxattr(host["canary"], "user.hostile", b"x")


def watch_folder_of_canary(host):
    path = os.path.dirname(host["canary"]).encode()
    watcher = libc.inotify_init1(0)
    if libc.inotify_add_watch(watcher, path, 0x100) < 0:
        raise Held(os.strerror(ctypes.get_errno()))


def make_device(host):
    os.mknod("disk", 0o060666, os.makedev(254, 0))


def open_devices(host):
    for name in ("tty", "ptmx", "kmsg", "mem", "fuse", "vda", "sda", "net/tun", "kvm", "userfaultfd", "loop0"):
        with contextlib.suppress(OSError):
            os.close(os.open(f"/dev/{name}", os.O_RDWR))
            return
    raise Held("none")


def setuid_program(host):
    for path in ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount", "/usr/bin/newgrp"):
        if os.path.exists(path) and os.stat(path).st_mode & 0o4000:
            status = Path("/proc/self/status")
            try:
                if "NoNewPrivs:\t0" in status.read_text():
                    return
            except OSError:
                if libc.prctl(39, 0, 0, 0, 0) == 0:
                    return
    raise Held("no new privileges")


def become_root(host):
    os.setresuid(0, 0, 0)


def capabilities(host):
    data = (ctypes.c_uint32 * 6)()
    if libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), data) or not any(data):
        raise Held("none")


# -- other processes -------------------------------------------------------------------------------------------------


def kill_victim(host):
    need_same_numbers(host)
    os.kill(host["victim"], 0)


def kill_engine(host):
    need_same_numbers(host)
    os.kill(host["engine"], 0)


def kill_supervisor(host):
    os.kill(host["supervisor"], signal.SIGKILL)
    time.sleep(0.05)
    raise Held("it lives")


def kill_everything(host):
    need_same_numbers(host)
    for pid in (host["victim"], host["engine"]):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)
            return
    raise Held("none")


def signal_by_descriptor(host):
    read, _ = os.pipe()
    fcntl.fcntl(read, fcntl.F_SETSIG, signal.SIGTERM)


def owner_of_descriptor(host):
    here, _ = socket.socketpair()
    fcntl.ioctl(here, 0x8901, array.array("i", [host["victim"]]))


def trace_parent(host):
    if libc.ptrace(16, os.getppid(), 0, 0) < 0:
        raise Held(os.strerror(ctypes.get_errno()))


def trace_victim(host):
    need_same_numbers(host)
    if libc.ptrace(16, host["victim"], 0, 0) < 0:
        raise Held(os.strerror(ctypes.get_errno()))


def read_memory_of_supervisor(host):
    call(310 if X86 else 270, host["supervisor"], 0, 0, 0, 0, 0)


def limits_of_victim(host):
    need_same_numbers(host)
    import resource

    resource.prlimit(host["victim"], resource.RLIMIT_NOFILE, (10, 10))


def priority_of_victim(host):
    need_same_numbers(host)
    os.setpriority(os.PRIO_PROCESS, host["victim"], 19)


def priority_of_user(host):
    os.setpriority(os.PRIO_USER, os.getuid(), 19)


def affinity_of_victim(host):
    need_same_numbers(host)
    os.sched_setaffinity(host["victim"], {0})


# -- the kernel ------------------------------------------------------------------------------------------------------


def io_uring(host):
    call(425, 1, (ctypes.c_char * 120)())


def keyctl(host):
    call(250 if X86 else 219, 0, -3, 1)


def add_key(host):
    call(248 if X86 else 217, b"user", b"x", b"y", 1, -2)


def bpf(host):
    call(321 if X86 else 280, 0, (ctypes.c_char * 64)(), 64)


def userfaultfd(host):
    call(323 if X86 else 282, 1)


def perf_event(host):
    call(298 if X86 else 241, (ctypes.c_uint32 * 28)(0, 112), 0, -1, -1, 0)


def mount_tmpfs(host):
    if libc.mount(b"none", os.getcwd().encode(), b"tmpfs", 0, None) < 0:
        raise Held(os.strerror(ctypes.get_errno()))


def new_mount_api(host):
    call(430, b"tmpfs", 0)


def unshare_user(host):
    if libc.unshare(0x10000000) < 0:
        raise Held(os.strerror(ctypes.get_errno()))


def clone_user(host):
    stack = mmap.mmap(-1, 1 << 16)
    del stack
    result = libc.syscall(56 if X86 else 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if result == 0:
        os._exit(0)
    if result < 0:
        raise Held(os.strerror(ctypes.get_errno()))


def clone3(host):
    call(435, (ctypes.c_uint64 * 11)(0x10000000), 88)


def enter_namespace(host):
    call(308 if X86 else 268, 0, 0)


def open_by_handle(host):
    call(304 if X86 else 265, -100, (ctypes.c_char * 64)(), 0)


def terminal_injection(host):
    read, _ = os.pipe()
    try:
        fcntl.ioctl(read, 0x5412, b"x")
    except OSError as error:
        if error.errno == errno.EPERM:
            raise Held("refused by the filter") from None
    # A pipe would answer ENOTTY: the call reached it.


def personality(host):
    if libc.personality(0x0040000) == -1:
        raise Held(os.strerror(ctypes.get_errno()))


def system_v_memory(host):
    if libc.shmget(0, 4096, 0o1600) < 0:
        raise Held(os.strerror(ctypes.get_errno()))


def message_queue(host):
    call(240 if X86 else 180, b"hostile", os.O_CREAT | os.O_RDWR, 0o600, None)


def secret_memory(host):
    call(447, 0)


def undumpable(host):
    if libc.prctl(4, 0, 0, 0, 0) < 0:
        raise Held(os.strerror(ctypes.get_errno()))


def unknown_call(host):
    try:
        call(499)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise Held("not there") from None
        raise


def foreign_calls(host):
    """The x32 numbers are killed, not answered."""
    if not X86:
        raise Held("only on x86_64")
    pid = os.fork()
    if pid == 0:
        libc.syscall(0x40000000 + 39)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGSYS:
        raise Held("killed")


def cores_and_limits(host):
    import resource

    if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0):
        raise Held("no core files")


ATTEMPTS = [
    value
    for name, value in list(globals().items())
    if callable(value)
    and getattr(value, "__module__", "") == "__main__"
    and name not in ("need_same_numbers", "call", "is_open", "Held", "attempt", "main")
]


def attempt(function, host):
    """Run one attempt in a process of its own; what it got."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            function(host)
            text = "THROUGH"
        except (OSError, Held) as error:
            text = f"held: {error}"
        except BaseException as error:
            text = f"broken: {type(error).__name__}: {error}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        text = file.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return text or f"held: ended with {status}"


def main():
    host = json.loads(sys.argv[1])
    host |= {"self": os.getpid(), "supervisor": os.getppid(), "inherited": list(filter(is_open, range(3, 200)))}
    chosen = [function for function in ATTEMPTS if not host["only"] or function.__name__ in host["only"]]
    print(json.dumps({function.__name__: attempt(function, host) for function in chosen}))


if __name__ == "__main__":
    main()
