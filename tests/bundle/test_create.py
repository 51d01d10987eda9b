"""A bundle is made from real registries, a web server and a hub; runs are cut, killed, and short of disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from genset.bundle.verify import Opened, verify
from genset.contracts.bundle import BILL, CRDS, RESOURCES
from tests.support.bundle import MODEL, OTHER, Site, deployment, digest, genset, policy, push_image
from tests.support.weights.fakes import Fault, folder_model, tiny_gguf


def made(site: Site, *more: str) -> Opened:
    done = site.create(*more)
    assert done.exit_code == 0, done.output
    return verify(site.bundle)


def test_everything_that_a_site_needs_is_in_it(site: Site) -> None:
    opened = made(site)
    table, host = opened.table, site.registry.host
    assert [one.asked for one in table.images] == [f"{host}/corp/genset:1.0", f"{host}/corp/llama:server"]
    engine = f"{host}/corp/llama:server"
    assert table.roles == {"": f"{host}/corp/genset:1.0", "llama.cpp/cpu": engine, "vllm/cpu": engine}
    assert {digest(MODEL), digest(OTHER)} <= opened.members.keys()
    assert table.chart is not None and "/charts/genset:" in table.chart.name
    resources = list(yaml.safe_load_all(opened.read(opened.files[RESOURCES].digest)))
    assert [one["kind"] for one in resources] == ["ModelDeployment", "ModelDeployment", "RoutePolicy"]
    crds = list(yaml.safe_load_all(opened.read(opened.files[CRDS].digest)))
    assert {one["kind"] for one in crds} == {"CustomResourceDefinition"}
    assert not list(site.folder.glob("site.gsb.*")), "what helped to make it is gone"


def test_the_bill_names_images_models_and_the_hashes_of_their_files(site: Site) -> None:
    opened = made(site)
    bill = json.loads(opened.read(opened.files[BILL].digest))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    by_type = {one["type"]: one for one in bill["components"]}
    assert by_type.keys() == {"container", "machine-learning-model", "application"}
    files = [file["hashes"][0]["content"] for one in bill["components"] for file in one.get("components", ())]
    assert digest(MODEL).removeprefix("sha256:") in files and digest(OTHER).removeprefix("sha256:") in files
    refs = [one["bom-ref"] for one in bill["components"]]
    assert len(set(refs)) == len(refs)


def test_the_plan_says_the_size_first_and_makes_nothing(site: Site) -> None:
    before = len(site.origin.contents_asked)
    done = site.create("--plan")
    assert done.exit_code == 0, done.output
    assert "corp/genset:1.0" in done.output and "models/small spec.source" in done.output and "In all " in done.output
    assert not list(site.folder.glob("site.gsb*"))
    assert site.origin.sent - before < len(MODEL), "a plan reads no model"
    sizes = {line.split()[1]: line.split()[-3:-1] for line in done.output.splitlines() if line.startswith("image")}
    alone = sum(float(number) for number, _ in sizes.values()) + (len(MODEL) + len(OTHER)) / 1000
    every = float(done.output.split("In all ")[1].split(" kB")[0])
    assert alone - every > 50, "what is the same in two images counts once"


def test_the_same_contents_are_in_it_once(site: Site) -> None:
    opened = made(site)
    total = sum(one.size for one in opened.members.values())
    site.write(
        *(
            deployment(f"m{n}", {"http": {"url": f"{site.origin.url}/files/m-q4.gguf", "sha256": digest(MODEL)[7:]}})
            for n in range(5)
        )
    )
    again = made(site)
    assert sum(one.size for one in again.members.values()) < total, "five deployments of one model, and one model less"


def test_secrets_stay_out(site: Site) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"key": "very-secret-word"},
    }
    site.write(
        policy("small"),
        deployment("small", {"http": {"url": f"{site.origin.url}/files/m-q4.gguf", "sha256": digest(MODEL)[7:]}}),
        secret,
    )
    done = site.create()
    assert done.exit_code == 0, done.output
    assert "1 Secret(s)" in done.output
    assert b"very-secret-word" not in site.bundle.read_bytes()


def test_models_of_a_hub_with_shards_and_whole_folders(site: Site) -> None:
    shards = {f"m-{n:05d}-of-00002.gguf": tiny_gguf(60_000 + n, seed=n, split=(n, 2)) for n in (1, 2)}
    folder = folder_model()
    site.hub.commit({**shards, **folder, "README.md": b"hello"})
    site.hub.without_lfs = {"README.md", *(name for name in folder if name.endswith(".json"))}
    hub = {"repo": site.hub.repo, "endpoint": site.hub.url}
    whole = deployment("whole", {"huggingFace": hub}, engine="vllm")
    site.write(deployment("split", {"huggingFace": {**hub, "file": "*-of-00002.gguf"}}), whole)
    opened = made(site)
    models = {one.deployment: one for one in opened.table.models}
    assert models["split"].path == "m-*-of-00002.gguf" and models["whole"].path == ""
    there = {digest(data) for data in (*shards.values(), *folder.values())}
    assert there <= opened.members.keys(), "files of Git, whose SHA-256 no hub tells, are known by it, too"


def test_what_moved_between_two_looks_is_taken_by_digest(site: Site) -> None:
    """A tag that somebody pushes anew while a bundle is made: what was planned is what is in it."""
    opened = made(site)
    image = next(one for one in opened.table.images if one.asked.endswith("genset:1.0"))
    push_image(site.registry, "corp/genset", "1.0", b"something else")
    again = made(site)
    moved = next(one for one in again.table.images if one.asked.endswith("genset:1.0"))
    assert moved.root.digest != image.root.digest
    assert site.create("--values", str(site.folder / "values.yaml")).exit_code == 0


def test_a_platform_that_an_image_lacks_is_told(site: Site) -> None:
    done = site.create("--platform", "linux/riscv64")
    assert done.exit_code == 1 and "has nothing for linux/riscv64; it has: linux/amd64, linux/arm64" in done.output


def test_an_image_that_nobody_has_is_told_with_its_name(site: Site) -> None:
    values = {"image": {"repository": f"{site.registry.host}/corp/nobody", "tag": "1"}}
    (site.folder / "values.yaml").write_text(yaml.safe_dump(values))
    done = site.create()
    assert done.exit_code == 1
    assert f"{site.registry.host}/corp/nobody:1" in done.output and "no such repository, tag or digest" in done.output


def test_a_cut_download_goes_on_where_it_was(site: Site) -> None:
    site.origin.faults.append(Fault(cut_after=100_000))
    before = site.origin.sent
    opened = made(site)
    assert digest(MODEL) in opened.members
    assert site.origin.sent - before < len(MODEL) + 100_000, "the first part was not asked for again"


def test_a_server_that_sends_other_bytes_is_refused(site: Site) -> None:
    site.origin.put("/files/m-q4.gguf", MODEL[:-1] + b"x")
    done = site.create()
    assert done.exit_code == 1 and "m-q4.gguf" in done.output and "sha256" in done.output
    assert not site.bundle.exists()


def test_a_killed_run_leaves_nothing_that_looks_whole_and_the_next_goes_on(site: Site) -> None:
    site.origin.pace = 0.05
    command = [
        sys.executable, "-m", "genset", "bundle", "create", "-f", str(site.folder / "resources.yaml"),
        "--values", str(site.folder / "values.yaml"), "--platform", "linux/amd64", "-o", str(site.bundle),
    ]  # fmt: skip
    for _ in range(2):
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "operator"}
        ) as run:
            partial = site.folder / "site.gsb.work"
            deadline = time.monotonic() + 30
            while not any(one.stat().st_size > 100_000 for one in partial.glob("*.partial")):
                assert run.poll() is None, run.stderr and run.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            run.send_signal(signal.SIGKILL)
        assert not site.bundle.exists()
        done = genset("verify", str(site.folder / "site.gsb.partial"))
        assert done.exit_code == 1 and ("cut off" in done.output or "never finished" in done.output)
    site.origin.pace = 0.0
    opened = made(site)
    assert digest(MODEL) in opened.members
    asked = [one.headers.get("range", "") for one in site.origin.contents_asked]
    assert asked[-1].startswith("bytes=") and int(asked[-1][6:].rstrip("-")) > 100_000, (
        "it began in the middle of the file"
    )


def test_two_runs_at_once_do_not_write_into_one_another(site: Site) -> None:
    from genset.bundle.archive import ArchiveWriter

    with ArchiveWriter(site.folder / "site.gsb.partial"):
        done = site.create()
    assert done.exit_code == 1 and "is being written by another genset bundle create" in done.output


def test_a_full_disk_leaves_nothing_that_looks_whole(site: Site, small_disk: Path) -> None:
    out, ballast = small_disk / "site.gsb", small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_800_000)
    done = site.create("-o", str(out))
    assert done.exit_code == 1 and "free, and" in done.output and "more" in done.output, done.output
    assert not out.exists()
    ballast.unlink()
    done = site.create("-o", str(out))
    assert done.exit_code == 0, done.output


def test_a_disk_that_gets_full_in_the_middle(site: Site, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others write to it, too: what was enough when it was looked at is not enough later."""
    out, ballast = small_disk / "site.gsb", small_disk / "ballast"
    monkeypatch.setattr("genset.bundle.create.Disk.require", lambda self, needed, *, what: None)
    free = shutil.disk_usage(small_disk).free
    for left in (50_000, 400_000, 700_000):
        ballast.write_bytes(b"x" * (free - left))
        done = site.create("-o", str(out))
        assert done.exit_code == 1 and "make room, and give the same command again" in done.output, done.output
        assert not out.exists()
    ballast.unlink()
    done = site.create("-o", str(out))
    assert done.exit_code == 0, done.output


def test_an_earlier_runs_other_blobs_are_left_out(site: Site) -> None:
    from genset.bundle.archive import ArchiveWriter

    with ArchiveWriter(site.folder / "site.gsb.partial") as writer:
        stranger = writer.add(b"of another site" * 1000)
        writer.add_file(_file(site.folder / "m", MODEL), digest(MODEL))
    before = site.origin.sent
    opened = made(site)
    assert stranger not in opened.members
    assert digest(MODEL) in opened.members and site.origin.sent - before < 10_000, "what is of use was kept"


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
