"""What people have met with other tools that carry images and models over, each tried here; the names are those of reports."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from genset.bundle.archive import ArchiveWriter
from genset.bundle.verify import verify
from tests.support.bundle import MODEL, Site, deployment, digest, genset, policy, push_image
from tests.support.guarded_registry import GuardedRegistry, guarded
from tests.support.weights.stores import INDEX, MANIFEST, Layer, RealRegistry, program, tarred


def with_image(site: Site, name: str) -> None:
    """Has the site run this image, and no model."""
    (site.folder / "values.yaml").write_text(
        yaml.safe_dump({"image": {"repository": name.partition("@")[0], "digest": name.partition("@")[2]}})
    )
    site.write(policy("elsewhere"))


def pushed_to(site: Site, guard: GuardedRegistry) -> str:
    """Loads the bundle into a guarded registry; returns what was printed."""
    config = site.folder / "config.json"
    config.write_text(guard.config())
    done = genset(
        "load", str(site.bundle), "--registry", guard.host, "--plain-http", guard.host, "--docker-config", str(config),
        "-o", str(site.folder / "out"),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return done.output


def test_images_that_only_a_digest_names_are_not_lost(site: Site, registry: RealRegistry) -> None:
    """hauler-dev/hauler#642 and #250: references by digest were gone after saving and loading."""
    pinned = push_image(site.registry, "corp/pinned", "1", tarred({"layer": b"l" * 99}))
    chosen = f"{site.registry.host}/corp/pinned@{pinned}"
    site.write(policy("elsewhere") | {"spec": policy("elsewhere")["spec"] | {"router": {"image": chosen}}})
    done = site.create("--platform", "all")
    assert done.exit_code == 0, done.output
    done = genset(
        "load",
        str(site.bundle),
        "--registry",
        registry.host,
        "--plain-http",
        registry.host,
        "-o",
        str(site.folder / "out"),
    )
    assert done.exit_code == 0, done.output
    [resource] = list(yaml.safe_load_all((site.folder / "out" / "resources.yaml").read_text()))
    image = resource["spec"]["router"]["image"]
    assert image == f"{registry.host}/corp/pinned@{pinned}"
    subprocess.run([program("crane"), "validate", "--insecure", "--remote", image], check=True, capture_output=True)
    values = yaml.safe_load((site.folder / "out" / "values.yaml").read_text())
    assert image in values["allowedImages"], "the operator would refuse it otherwise"


def attested(site: Site) -> str:
    """Pushes an image of one platform with an attestation, as BuildKit does; returns its name with the digest of its index."""
    registry, repository = site.registry, "corp/attested"
    push_image(registry, repository, "plain", tarred({"layer": b"l" * 99}), platforms=("amd64",))
    inner = httpx.get(f"{registry.url}/v2/{repository}/manifests/plain", headers={"accept": INDEX}).json()["manifests"][
        0
    ]
    statement = Layer(b'{"predicateType":"https://slsa.dev/provenance/v1"}', "application/vnd.in-toto+json")
    config = Layer(
        b'{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":[]}}',
        "application/vnd.oci.image.config.v1+json",
    )
    for one in (statement, config):
        registry.blob(repository, one.data)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor,
        "layers": [statement.descriptor],
    }
    note = {
        "mediaType": MANIFEST, "digest": registry.manifest(repository, "note", document), "size": len(json.dumps(document)),
        "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": inner["digest"]},
        "platform": {"os": "unknown", "architecture": "unknown"},
    }  # fmt: skip
    index = registry.manifest(repository, "1", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner, note]})
    return f"{registry.host}/{repository}@{index}"


@pytest.mark.parametrize("platform", ["linux/amd64", "all"])
def test_an_image_with_an_attestation_gets_into_containerd(site: Site, containerd: Path, platform: str) -> None:
    """containerd/containerd#11344 and #8243: an index names an attestation, and the import ended with `not found`."""
    with_image(site, attested(site))
    done = site.create("--platform", platform)
    assert done.exit_code == 0, done.output
    done = genset(
        "load", str(site.bundle), "--containerd", "--address", str(containerd), "-o", str(site.folder / "out")
    )
    assert done.exit_code == 0, done.output
    names = subprocess.run(
        ["ctr", "-a", str(containerd), "-n", "k8s.io", "images", "ls", "-q"], check=True, capture_output=True, text=True
    ).stdout.split()
    root = verify(site.bundle).table.images[0].root.digest
    assert f"{site.registry.host}/corp/attested@{root}" in names, (
        "kubelets ask by digest (rancher/rke2#9309, moby/moby#43570)"
    )


def test_an_attested_image_keeps_its_digest_in_a_registry(site: Site, registry: RealRegistry) -> None:
    name = attested(site)
    with_image(site, name)
    assert site.create("--platform", "all").exit_code == 0
    done = genset(
        "load",
        str(site.bundle),
        "--registry",
        registry.host,
        "--plain-http",
        registry.host,
        "-o",
        str(site.folder / "out"),
    )
    assert done.exit_code == 0, done.output
    values = yaml.safe_load((site.folder / "out" / "values.yaml").read_text())
    assert values["image"]["digest"] == name.partition("@")[2]


def test_a_file_that_an_interrupted_run_left_broken_is_fetched_anew(site: Site) -> None:
    """zarf-dev/zarf#3194 and #813: a broken file in a cache ended each further run, and nobody was told which image it was of."""
    work = site.folder / "site.gsb.work"
    work.mkdir()
    key = hashlib.sha256(f"sha256:{digest(MODEL)[7:]}".encode()).hexdigest()
    (work / key).write_bytes(MODEL[:-5] + b"wrong")
    done = site.create()
    assert done.exit_code == 1 and "run the command again" in done.output
    assert site.create().exit_code == 0
    assert digest(MODEL) in verify(site.bundle).members


def test_a_broken_half_of_a_bundle_is_not_believed(site: Site) -> None:
    with ArchiveWriter(site.folder / "site.gsb.partial") as writer:
        writer.add(MODEL)
        start = writer.there[f"blobs/sha256/{digest(MODEL)[7:]}"].start
    with (site.folder / "site.gsb.partial").open("r+b") as stream:
        stream.seek(start + 1000)
        stream.write(b"rot")
    done = site.create()
    assert done.exit_code == 1 and digest(MODEL) in done.output and not site.bundle.exists()
    assert site.create().exit_code == 0


def test_a_token_that_ends_while_layers_are_sent(site: Site, registry: RealRegistry) -> None:
    """GoogleContainerTools/jib#691, moby/moby#33558 and heroku/docker-registry-client#8: 401 after a large layer was sent."""
    assert site.create().exit_code == 0
    with guarded(registry) as guard:
        guard.good_for = 3
        pushed_to(site, guard)
        assert len(guard.asked) > 5


def test_an_upload_that_was_taken_and_not_answered(site: Site, registry: RealRegistry) -> None:
    """GoogleContainerTools/jib#4301 and apple/containerization#790: asking again in the same session ends with 404 or 416."""
    assert site.create().exit_code == 0
    with guarded(registry) as guard:
        guard.swallow = 3
        pushed_to(site, guard)
        sent = sum(one.size for one in verify(site.bundle).members.values())
        assert guard.bytes_in <= sent + 50_000, "what was taken is not sent again"


def test_five_models_of_one_file_are_in_it_once(site: Site) -> None:
    """Bundles of other tools hold what several of their parts need as often as it is needed."""
    source = {"http": {"url": f"{site.origin.url}/files/m-q4.gguf", "sha256": digest(MODEL)[7:]}}
    site.write(*(deployment(f"m{number}", source) for number in range(5)))
    assert site.create().exit_code == 0
    assert site.bundle.stat().st_size < 2 * len(MODEL) + 600_000
