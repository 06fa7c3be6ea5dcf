"""Hosts on one machine: each a process 1 with an address, a name and folders of its own, in namespaces
of the kernel. Takes root, and a caller that runs in a network namespace of its own (words_to_enter)."""
import os
import pathlib
import shutil
import subprocess
import time

PROGRAMS = ("ip", "unshare", "nsenter")
INSTALL = "apt-get install iproute2 util-linux"

# Waits for its network, then becomes the program. What is below /run and what processes of one host
# share through /dev/shm belong to that host.
HOST = ('read -r go; mount --make-rprivate /; mount -t proc proc /proc; '
        'mount -t tmpfs -o mode=755 run /run; mount -t tmpfs shm /dev/shm; '
        'mount --bind "$1" /etc/hosts; hostname "$2"; shift 2; '
        'while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; '
        'ip link set lo up; exec "$@"')


class Failed(Exception):
    pass


def missing():
    """Why there can be no hosts here; empty where there can."""
    if os.geteuid() != 0:
        return "an address for each host takes root"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} is missing; {INSTALL}"
    trial = [*words_to_enter(), "ip", "link", "add", "kiln0", "type", "bridge"]
    run = subprocess.run(trial, capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else \
        f"no namespace with a bridge can be made: {run.stderr.strip()}"


def words_to_enter():
    """Before a command: the bridge, and whatever else it makes, goes with its namespaces."""
    return ["unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"]


def address(number):
    return f"172.18.0.{number + 2}"


def ip(words, before=()):
    run = subprocess.run([*before, "ip", *words], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise Failed(f"ip {' '.join(words)}: {run.stderr.strip()}")


def make_bridge():
    for words in ("link add kiln0 type bridge", "link set kiln0 up", "link set lo up"):
        ip(words.split())


def write_hosts_file(path, hosts, first=0):
    """`first`: the number of the first host."""
    lines = ["127.0.0.1 localhost"] + [f"{address(i)} {host}" for i, host in enumerate(hosts, first)]
    path.write_text("\n".join(lines) + "\n")


def command(words, name, hosts_file, binds=()):
    """What becomes `words` on a host of that name once connect() has given it a network; it reads one
    line on its standard input. `binds`: pairs of a folder and where the host has it."""
    bound = [str(word) for pair in binds for word in pair]
    return ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "bash",
            "-euc", HOST, "bash", str(hosts_file), name, *bound, "--", *map(str, words)]


def connect(process, number, interface="eth0"):
    """A pair of interfaces: one end on the bridge, the other is the host's."""
    own = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{process.pid}/ns/net") == own:
        if process.poll() is not None:
            raise Failed(f"host {number} ended before it had a network")
        time.sleep(0.001)
    ip(["link", "add", f"host{number}", "type", "veth", "peer", "name", interface, "netns",
        str(process.pid)])
    ip(["link", "set", f"host{number}", "master", "kiln0", "up"])
    inside = ["nsenter", "-t", str(process.pid), "-n"]
    ip(["addr", "add", f"{address(number)}/24", "dev", interface], inside)
    ip(["link", "set", interface, "up"], inside)
    process.stdin.write(b"go\n")
    process.stdin.close()


def send_signal(process, number):
    """To the host's process 1; with SIGKILL the whole host is gone."""
    path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        children = [int(word) for word in path.read_text().split()]
    except OSError:
        return  # it has ended
    for child in children:
        os.kill(child, number)


def absent_for_training():
    """Programs of a job of several hosts that are not here."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
    return [name for name in ("sshd", "ssh", "ssh-keygen", "mpirun")
            if shutil.which(name, path=path) is None]


def make_key(folder):
    """The pair of keys by which the hosts of a job reach each other, as an image holds it."""
    folder.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kiln", "-f",
                    str(folder / "id_ed25519")], check=True)
