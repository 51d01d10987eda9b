"""The pods' network on this machine is one bridge, a few kernel settings, and rules of the packet filter.

The bridge's address is the node's, so that the cluster neither depends on the machine's own addresses nor listens on
them.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

BRIDGE = "genset0"
BRIDGE_MAC = "0a:58:0a:f4:00:01"  # fixed: it would change with the first pods, and stay wrong in others' ARP tables
NODE_ADDRESS = "10.244.0.1"
POD_RANGE = "10.244.0.0/24"
NETWORK_NAME = "genset-pods"
COMMENT = "genset-e2e"
KUBERNETES_CHAINS = "KUBE-"  # of kube-proxy and the kubelet
POLICY_CHAINS = "GENSET-NP"  # of the program that enforces NetworkPolicies; its sets of addresses are named so, too
MODULES = ("br_netfilter", "overlay", "nf_conntrack")
# Set by us, by the kubelet or by kube-proxy; restored at the end.
SETTINGS = (
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.route_localnet",
    "net.bridge.bridge-nf-call-iptables",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
)
WANTED = {"net.ipv4.ip_forward": "1", "net.bridge.bridge-nf-call-iptables": "1"}
# First in their chains, for machines whose firewall denies by default; kube-proxy puts its own before them.
RULES = (
    ("nat", "POSTROUTING", f"-s {POD_RANGE} ! -d {POD_RANGE}", "MASQUERADE"),
    ("filter", "INPUT", f"-i {BRIDGE}", "ACCEPT"),
    ("filter", "FORWARD", f"-i {BRIDGE}", "ACCEPT"),
    ("filter", "FORWARD", f"-o {BRIDGE}", "ACCEPT"),
)


def prepare(saved_settings: Path) -> None:
    """Makes the bridge, the settings and the rules; writes the settings' old values to the file."""
    for module in MODULES:  # may be built in, or not loadable from here; what is missing shows below
        subprocess.run(["modprobe", "-q", module], capture_output=True, check=False)
    if not saved_settings.exists():
        saved_settings.write_text(
            json.dumps({name: value for name in SETTINGS if (value := _read_setting(name)) is not None})
        )
    for name, value in WANTED.items():
        if _read_setting(name) not in (None, value):
            _setting_file(name).write_text(value)
    _ip("link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge")
    _ip("address", "add", f"{NODE_ADDRESS}/{POD_RANGE.partition('/')[2]}", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    for table, chain, match, target in RULES:
        comment = f"-m comment --comment {COMMENT}"
        _run(f"iptables -w -t {table} -I {chain} {match} {comment} -j {target}".split())


def clear(saved_settings: Path) -> None:
    """Undoes all of it, as far as it is there, and what kube-proxy and the kubelet added."""
    ports = Path(f"/sys/class/net/{BRIDGE}/brif")
    if ports.is_dir():
        for port in sorted(ports.iterdir()):  # a pod's end goes with its namespace, but later than we want to wait
            subprocess.run(["ip", "link", "delete", port.name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)
    for family in ("iptables", "ip6tables"):
        _clear_rules(family)
    for name in _policy_sets():
        subprocess.run(["ipset", "destroy", name], capture_output=True, check=False)
    for selection in (["-s", POD_RANGE], ["-d", POD_RANGE], ["-d", "10.96.0.0/16"]):
        # Tracked connections to addresses that the next cluster will give to others.
        subprocess.run(["conntrack", "-D", *selection], capture_output=True, check=False)
    if saved_settings.exists():
        for name, value in json.loads(saved_settings.read_text()).items():
            if _read_setting(name) not in (None, value):
                _setting_file(name).write_text(value)


def leftovers() -> list[str]:
    """Lists what of the network is still there, for people and for tests."""
    found = [f"link {BRIDGE}"] if Path(f"/sys/class/net/{BRIDGE}").exists() else []
    for family in ("iptables", "ip6tables"):
        found += [
            f"{family}: {line}"
            for line in _saved_rules(family).splitlines()
            if any(mark in line for mark in (KUBERNETES_CHAINS, POLICY_CHAINS, COMMENT))
        ]
    return [*found, *(f"ipset {name}" for name in _policy_sets())]


def enforces_policies() -> bool:
    """Returns whether all that pods send passes the chain in which NetworkPolicies are."""
    check = ["iptables", "-w", "-t", "mangle", "-C", "INPUT", "-j", POLICY_CHAINS]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


def foreign_node_chains() -> list[str]:
    """Lists chains of a kube-proxy or kubelet, for a caller that knows that none of its own runs."""
    return sorted(set(re.findall(rf"^:({KUBERNETES_CHAINS}\S+)", _saved_rules("iptables"), re.MULTILINE)))


def removal(saved: str) -> str:
    """Returns input for `iptables-restore --noflush` that removes Kubernetes' chains, policies' and our own rules.

    `saved` is what iptables-save printed.
    """
    script: list[str] = []
    for table, chains, rules in _tables(saved):
        ours = [chain for chain in chains if chain.startswith((KUBERNETES_CHAINS, POLICY_CHAINS))]
        deletions = [
            f"-D{rule[2:]}"
            for rule in rules
            if rule.split()[1] not in ours and (_jumps_to(rule, ours) or _is_commented(rule))
        ]
        if ours or deletions:
            # Emptied before any is deleted: a chain that another one still jumps to cannot be deleted.
            script += [f"*{table}", *deletions, *(f"-F {c}" for c in ours), *(f"-X {c}" for c in ours), "COMMIT"]
    return "\n".join(script) + "\n" if script else ""


def _tables(saved: str) -> Iterable[tuple[str, list[str], list[str]]]:
    table = ""
    chains: list[str] = []
    rules: list[str] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            table, chains, rules = line[1:], [], []
        elif line.startswith(":"):
            chains.append(line[1:].split()[0])
        elif line.startswith("-A "):
            rules.append(line)
        elif line == "COMMIT":
            yield table, chains, rules


def _jumps_to(rule: str, chains: list[str]) -> bool:
    target = re.search(r" -[jg] (\S+)", rule)
    return target is not None and target.group(1) in chains


def _is_commented(rule: str) -> bool:
    comment = re.search(r'--comment "?([^" ]+)', rule)
    return comment is not None and comment.group(1) == COMMENT


def _clear_rules(family: str) -> None:
    script = removal(_saved_rules(family))
    if script:
        _run([f"{family}-restore", "-w", "--noflush"], stdin=script)


def _saved_rules(family: str) -> str:
    try:
        return subprocess.run([f"{family}-save"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:  # not installed, so nobody made rules with it
        return ""


def _policy_sets() -> list[str]:
    try:
        listed = subprocess.run(["ipset", "list", "-n"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return []
    return [name for name in listed.split() if name.startswith(POLICY_CHAINS)]


def _setting_file(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def _read_setting(name: str) -> str | None:
    try:
        return _setting_file(name).read_text().strip()
    except OSError:
        return None


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(argv: list[str], stdin: str | None = None) -> None:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} failed: {done.stderr.strip()}" + (f"\n{stdin}" if stdin else ""))
