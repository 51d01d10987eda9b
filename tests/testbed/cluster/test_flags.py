"""Command lines of the components."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
import yaml

from testbed.cluster import node
from testbed.cluster.addons import corefile
from testbed.cluster.flags import Layout, apiserver_arguments, controller_manager_arguments, etcd_arguments
from testbed.cluster.pki import Authority, KeyPair

LAYOUT = Layout(Path("/c"), "127.0.0.1", 20001, 20002)
PAIR = KeyPair(Path("/c/x.crt"), Path("/c/x.key"))


def apiserver(**changes: bool) -> list[str]:
    settings = {"node": False, "controllers": False, "audit": False, **changes}
    return apiserver_arguments(
        LAYOUT, Path("/c/ca.crt"), PAIR, PAIR, (Path("/c/sa.key"), Path("/c/sa.pub")), **settings
    )


def test_the_api_server_listens_where_the_layout_says_and_lets_nobody_in_without_a_name() -> None:
    arguments = apiserver()
    assert {"--bind-address=127.0.0.1", "--secure-port=20001", "--etcd-servers=http://127.0.0.1:20002"} <= set(
        arguments
    )
    assert {"--anonymous-auth=false", "--authorization-mode=Node,RBAC"} <= set(arguments)


@pytest.mark.parametrize(
    ("setting", "argument", "with_it"),
    [
        ("node", "--endpoint-reconciler-type=none", False),
        ("controllers", "--disable-admission-plugins=ServiceAccount", False),
        ("audit", "--audit-log-path=/c/log/audit.jsonl", True),
    ],
)
def test_what_is_not_there_is_not_waited_for(setting: str, argument: str, with_it: bool) -> None:
    assert (argument in apiserver(**{setting: True})) is with_it
    assert (argument in apiserver(**{setting: False})) is not with_it


def test_etcd_does_not_wait_for_the_disk_and_listens_on_loopback_only() -> None:
    arguments = etcd_arguments(LAYOUT)
    assert "--unsafe-no-fsync" in arguments
    assert all("127.0.0.1" in argument for argument in arguments if "urls=" in argument)


def test_controllers_are_faster_than_their_defaults(tmp_path: Path) -> None:
    authority = Authority(tmp_path, dt.datetime.now(dt.UTC))
    arguments = controller_manager_arguments(tmp_path / "config", authority, tmp_path / "sa.key", 20003)
    assert "--kube-api-qps=500" in arguments
    assert f"--cluster-signing-key-file={authority.ca.key}" in arguments


def test_the_kubelet_keeps_loaded_images_and_accepts_any_machine() -> None:
    settings = node.kubelet_configuration(Path("/c"), Path("/c/ca.crt"), PAIR, 20004, 20005)
    assert settings["imageGCHighThresholdPercent"] == 100
    assert (settings["failSwapOn"], settings["failCgroupV1"]) == (False, False)
    assert settings["authentication"]["anonymous"] == {"enabled": False}
    assert settings["containerRuntimeEndpoint"] == "unix:///c/containerd/containerd.sock"


def test_node_files_say_the_same_paths(tmp_path: Path) -> None:
    settings = node.kubelet_configuration(tmp_path, tmp_path / "ca.crt", PAIR, 20004, 20005)
    node.write_files(tmp_path, "example.test/pause:1", "native", settings)
    containerd = (tmp_path / "containerd" / "config.toml").read_text()
    assert f'address = "{node.socket(tmp_path)}"' in containerd
    assert f'conf_dir = "{tmp_path}/cni/conf"' in containerd
    assert 'sandbox_image = "example.test/pause:1"' in containerd
    assert 'snapshotter = "native"' in containerd
    assert yaml.safe_load((tmp_path / "kubelet.yaml").read_text()) == settings
    assert Path(settings["podLogsDir"]).is_dir()


@pytest.mark.parametrize(
    ("resolv_conf", "forwards"), [("search corp\nnameserver 192.0.2.1\n", True), ("# none\n", False), ("", False)]
)
def test_dns_forwards_only_where_the_machine_has_a_name_server(resolv_conf: str, forwards: bool) -> None:
    text = corefile(Path("/c/dns.kubeconfig"), 20006, 20007, 20008, resolv_conf)
    assert ("forward . /etc/resolv.conf" in text) is forwards
    assert "kubeconfig /c/dns.kubeconfig genset-e2e" in text
