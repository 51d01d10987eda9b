"""Hub source: the real hub client against FakeHub, down to the bytes on the volume."""

from __future__ import annotations

import gzip
import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from genset.api.modeldeployment import Reason
from genset.contracts.sources import HuggingFace
from genset.weights import bounded, hugging_face, local
from genset.weights.failure import WeightsFailure
from genset.weights.hugging_face import HubFile
from genset.weights.progress import ProgressLog
from genset.weights.retry import Retry, Transient
from tests.support.weights.fakes import FakeHub, FakeOrigin, Fault, serving, tiny_gguf
from tests.support.weights.running import Run, hub_spec, model_bytes, servable

MODEL = tiny_gguf(400_000)
OTHER = tiny_gguf(300_000, seed=2)
SHARDS = [tiny_gguf(100_000 + number, seed=number, split=(number, 3)) for number in (1, 2, 3)]
SPLIT = {f"Q8/big-{number:05d}-of-00003.gguf": data for number, data in enumerate(SHARDS, 1)}
NO_PATIENCE = Retry(patience=0.05, first=0.01)


def test_the_one_model_of_a_branch(hub: FakeHub, tmp_path: Path, run: Run, progress: ProgressLog) -> None:
    commit = hub.commit({"README.md": b"hello", "m-Q4.gguf": MODEL, "mmproj-m.gguf": OTHER, "m.imatrix.gguf": OTHER})
    spec = hub_spec(hub, tmp_path)
    outcome = run(spec)
    assert model_bytes(spec) == MODEL
    assert outcome.model.revision == progress.snapshot().revision == commit
    assert hub.asked[0].path == "/api/models/org/name/revision/main?blobs=true"
    assert hub.contents_asked[0].path == f"/org/name/resolve/{commit}/m-Q4.gguf"


def test_a_commit_needs_no_network_once_it_is_there(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    commit = hub.commit({"m.gguf": MODEL})
    spec = hub_spec(hub, tmp_path, revision=commit)
    run(spec)
    asked = len(hub.asked)
    run(spec)
    assert len(hub.asked) == asked


def test_a_branch_that_moved_is_followed(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    hub.commit({"m.gguf": MODEL})
    spec = hub_spec(hub, tmp_path)
    run(spec)
    with Path(spec.model_path).open("rb") as in_use:
        hub.commit({"m.gguf": OTHER})
        run(spec)
        assert model_bytes(spec) == OTHER
        assert in_use.read() == MODEL, "a pod that has the old model open goes on with it"


def test_a_branch_that_moves_back_needs_no_download(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    spec = hub_spec(hub, tmp_path)
    for data in (MODEL, OTHER, MODEL):
        hub.commit({"m.gguf": data})
        run(spec)
        assert model_bytes(spec) == data
    assert hub.sent == len(MODEL) + len(OTHER)


def test_a_commit_that_changes_only_the_readme_needs_no_download(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    spec = hub_spec(hub, tmp_path)
    for readme in (b"one", b"two"):
        hub.commit({"m.gguf": MODEL, "README.md": readme})
        run(spec)
    assert hub.sent == len(MODEL)


@pytest.mark.parametrize("hub_is_there", [True, False])
def test_a_settled_model_is_served_without_asking_the_hub(
    hub: FakeHub, tmp_path: Path, run: Run, hub_is_there: bool
) -> None:
    """A pod that wakes while somebody waits: neither a newer commit nor a hub that is away costs any time."""
    hub.commit({"m.gguf": MODEL})
    spec = replace(hub_spec(hub, tmp_path), settled=True)
    run(spec)
    assert model_bytes(spec) == MODEL, "the first time it is downloaded like any other"
    hub.commit({"m.gguf": OTHER})
    if not hub_is_there:
        hub.close()
    began = time.monotonic()
    run(spec)
    assert model_bytes(spec) == MODEL and hub.sent == len(MODEL)
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("trouble", ["down", "unauthorized", "gone", "ambiguous", "wrong bytes"])
def test_what_is_there_is_served_when_the_hub_fails(
    hub: FakeHub, tmp_path: Path, run: Run, trouble: str, progress: ProgressLog
) -> None:
    commit = hub.commit({"m.gguf": MODEL})
    spec = hub_spec(hub, tmp_path)
    run(spec)
    if trouble == "down":
        hub.close()
    elif trouble == "unauthorized":
        hub.token = "other"
    elif trouble == "gone":
        hub.repo = "org/renamed"
    elif trouble == "ambiguous":
        hub.commit({"m.gguf": MODEL, "n.gguf": OTHER})
    else:
        hub.commit({"m.gguf": OTHER})
        hub.faults = [Fault(status=200, body=tiny_gguf(len(OTHER) - 200, seed=3).ljust(len(OTHER), b"x"))] * 3
    outcome = run(spec, NO_PATIENCE)
    assert model_bytes(spec) == MODEL
    assert f"Serves the model of an earlier download (m.gguf of commit {commit[:12]})" in outcome.warning
    assert progress.snapshot().state == "done"
    assert progress.snapshot().message == outcome.warning


def test_a_split_model_is_placed_as_llama_cpp_looks_for_it(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    hub.commit({**SPLIT, "small.gguf": MODEL})
    spec = hub_spec(hub, tmp_path, file="*-00001-of-00003.gguf")
    run(spec)
    folder = Path(spec.model_path).parent
    assert Path(spec.model_path).name == "model-00001-of-00003.gguf"
    placed = [folder / f"model-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]
    assert [path.read_bytes() for path in placed] == SHARDS


def test_a_cut_split_model_continues_at_the_shard(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    hub.commit(SPLIT)
    spec = hub_spec(hub, tmp_path, file="*-of-00003.gguf")
    hub.faults = [Fault(), Fault(cut_after=50_000), *[Fault(status=503)] * 1000]
    with pytest.raises(WeightsFailure, match="answered 503"):
        run(spec, NO_PATIENCE)
    hub.faults = []
    run(spec)
    assert hub.sent == sum(map(len, SHARDS))


def test_shards_in_the_wrong_order_are_not_served(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    names = list(SPLIT)
    hub.commit({names[0]: SHARDS[0], names[1]: SHARDS[2], names[2]: SHARDS[1]})
    with pytest.raises(WeightsFailure, match="says that it is file 3 of 3, where file 2 of 3 belongs") as failed:
        run(hub_spec(hub, tmp_path, file="*-of-00003.gguf"))
    assert failed.value.reason == Reason.NOT_GGUF
    assert not Path(hub_spec(hub, tmp_path, file="*-of-00003.gguf").model_path).exists()


def test_the_token_goes_to_the_hub_and_not_to_its_content_network(tmp_path: Path, run: Run) -> None:
    token = tmp_path / "token"
    token.write_text("hf_secret\n")
    with serving(FakeOrigin("127.0.0.3")) as network, serving(FakeHub(network=network)) as hub:
        hub.token = "hf_secret"
        hub.commit({"m.gguf": MODEL})
        network.faults = [Fault(cut_after=100_000)]
        spec = hub_spec(hub, tmp_path / "v", token_file=str(token))
        run(spec)
        assert model_bytes(spec) == MODEL
        assert {asked.headers.get("authorization") for asked in hub.asked} == {"Bearer hf_secret"}
        assert [asked.headers.get("authorization") for asked in network.asked] == [None, None]
        assert network.sent == len(MODEL), "the download continued after the cut"


def test_a_hub_that_sends_its_questions_elsewhere_sends_no_token_there(tmp_path: Path, run: Run) -> None:
    token = tmp_path / "token"
    token.write_text("hf_secret\n")
    with serving(FakeOrigin("127.0.0.3")) as other, serving(FakeHub()) as hub:
        hub.commit({"m.gguf": MODEL})
        path = f"/api/models/{hub.repo}/revision/main"
        hub.redirects[path] = f"{other.url}{path}"
        with pytest.raises(WeightsFailure):
            run(hub_spec(hub, tmp_path / "v", token_file=str(token)))
        assert hub.asked[0].headers.get("authorization") == "Bearer hf_secret"
        assert other.asked and all("authorization" not in asked.headers for asked in other.asked)


@pytest.mark.parametrize(
    "name",
    [
        "../../../../evil/x/resolve/main/m.gguf", "../m.gguf", "/m.gguf", "a//m.gguf", "./m.gguf", "a/../m.gguf",
        "..\\m.gguf", "a\nb.gguf", "a/./m.gguf",
    ],
)  # fmt: skip
def test_a_listing_never_leaves_its_repository(name: str) -> None:
    with pytest.raises(WeightsFailure, match=r"it has no \.gguf file at all"):
        hugging_face.choose(HuggingFace("o/n", file="*"), [HubFile(name, 1)])


def test_a_file_in_plain_git_is_verified_too(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    hub.commit({"m.gguf": MODEL})
    hub.without_lfs = {"m.gguf"}
    spec = hub_spec(hub, tmp_path)
    hub.faults = [Fault(status=200, body=MODEL[:-1] + b"?")]
    with pytest.raises(WeightsFailure, match="its gitSha1 is"):
        run(spec)
    run(spec)
    assert model_bytes(spec) == MODEL


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ({"repo": "org/other"}, Reason.SOURCE_NOT_FOUND, "org/name at http://127.0.0.1"),
        ({"branches": {}}, Reason.SOURCE_NOT_FOUND, "has no revision 'main'"),
        ({"token": "needed"}, Reason.SOURCE_UNAUTHORIZED, "does not exist, or is not public; gated and private"),
        ({"token": "needed", "gated": True}, Reason.SOURCE_UNAUTHORIZED, "is gated; gated and private"),
        ({"gated": True}, Reason.SOURCE_UNAUTHORIZED, "terms must be accepted"),
        ({"without_checksums": True}, Reason.SOURCE_UNREACHABLE, "gives no checksum for m.gguf"),
        ({"commits": {}}, Reason.SOURCE_NOT_FOUND, "has no revision 'main'"),
    ],
)
def test_refusals_of_the_hub_name_the_remedy(
    hub: FakeHub, tmp_path: Path, run: Run, state: dict[str, object], reason: Reason, words: str
) -> None:
    hub.commit({"m.gguf": MODEL})
    spec = hub_spec(hub, tmp_path)
    for name, value in state.items():
        setattr(hub, name, value)
    with pytest.raises(WeightsFailure, match=re.escape(words)) as failed:
        run(spec)
    assert (failed.value.reason, failed.value.permanent) == (reason, True)
    assert len(hub.asked) == 1
    assert servable(tmp_path) == []


def test_a_wrong_token_is_unauthorized(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    hub.commit({"m.gguf": MODEL})
    hub.token = "right"
    token = tmp_path / "token"
    token.write_text("wrong")
    with pytest.raises(WeightsFailure, match="tokenSecretRef") as failed:
        run(hub_spec(hub, tmp_path, token_file=str(token)))
    assert failed.value.reason == Reason.SOURCE_UNAUTHORIZED
    assert "wrong" not in failed.value.message


@pytest.mark.parametrize("text", [None, "", "  \n", "two\nlines", "ä"])
def test_an_unusable_token_is_refused_before_it_is_sent(
    hub: FakeHub, tmp_path: Path, run: Run, text: str | None
) -> None:
    token = tmp_path / "token"
    if text is not None:
        token.write_text(text)
    with pytest.raises(WeightsFailure, match=r"The token of source\.huggingFace\.tokenSecretRef") as failed:
        run(hub_spec(hub, tmp_path, token_file=str(token)))
    assert failed.value.reason == Reason.SOURCE_UNAUTHORIZED
    assert hub.asked == []


def test_trouble_of_the_hub_passes(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    hub.commit({"m.gguf": MODEL})
    hub.api_faults = [Fault(status=502), Fault(status=429, headers={"Retry-After": "1"})]
    slept: list[float] = []
    run(hub_spec(hub, tmp_path), Retry(first=0.01, sleep=slept.append))
    assert slept[-1] == 1.0
    assert len(slept) == 2


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b"{}", b'{"sha": null, "id": "x"}', b'{"siblings": 3, "sha": "a"}', b"[" * 100_000,
     b'{"id": "x", "sha": ["a"], "siblings": []}', b'{"id": "x", "sha": "a", "siblings": ' + b"[" * 100_000],
)  # fmt: skip
def test_a_mirror_that_is_none_is_named(hub: FakeHub, tmp_path: Path, run: Run, body: bytes) -> None:
    hub.api_faults = [Fault(status=200, body=body)]
    with pytest.raises(WeightsFailure) as failed:
        run(hub_spec(hub, tmp_path))
    assert failed.value.reason in (Reason.SOURCE_UNREACHABLE, Reason.SOURCE_NOT_FOUND)
    assert hub.url in failed.value.message


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=200, body=b" " * (2 << 20)), "answers more than 1 MiB"),
        (
            Fault(status=200, headers={"Content-Encoding": "gzip"}, body=gzip.compress(b" " * 10)),
            "came compressed .gzip.",
        ),
    ],
)
def test_an_answer_without_end_is_not_kept(
    hub: FakeHub, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, fault: Fault, words: str
) -> None:
    monkeypatch.setattr(bounded, "LISTING_BYTES", 1 << 20)
    hub.api_faults = [fault]
    with pytest.raises(WeightsFailure, match=words) as failed:
        run(hub_spec(hub, tmp_path))
    assert failed.value.reason == Reason.SOURCE_UNREACHABLE


def test_an_answer_that_takes_for_ever_is_asked_for_again() -> None:
    """A byte now and then keeps every deadline of a connection."""
    slow = httpx.MockTransport(lambda request: httpx.Response(200, stream=Drops()))
    times = iter(range(0, 10_000, 29))
    client = httpx.Client(transport=bounded.bounded(httpx, slow, lambda: float(next(times))))
    with pytest.raises(Transient, match="takes more than 120 s for its answer"):
        client.get("http://hub.corp/api")


class Drops(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b" "


def test_the_hub_client_writes_nothing(hub: FakeHub, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    hub.commit({"m.gguf": MODEL})
    run(hub_spec(hub, tmp_path / "v"))
    assert not home.exists()
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


LISTING = [
    HubFile("README.md", 10),
    HubFile("a-Q4_K_M.gguf", 4_000_000_000),
    HubFile("a-Q5_K_M.gguf", 5_000_000_000),
    HubFile("mmproj-a-f16.gguf", 1_000_000),
    HubFile("Q8/a-Q8-00001-of-00002.gguf", 9),
    HubFile("Q8/a-Q8-00002-of-00002.gguf", 9),
    HubFile("broken-00002-of-00003.gguf", 9),
    HubFile("one-00001-of-00001.gguf", 9),
]


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("*Q4_K_M*", ["a-Q4_K_M.gguf"]),
        ("a-Q5_K_M.gguf", ["a-Q5_K_M.gguf"]),
        ("mmproj*.gguf", ["mmproj-a-f16.gguf"]),
        ("*Q8*-of-00002.gguf", ["Q8/a-Q8-00001-of-00002.gguf", "Q8/a-Q8-00002-of-00002.gguf"]),
        ("Q8/*-00001-of-00002.gguf", ["Q8/a-Q8-00001-of-00002.gguf", "Q8/a-Q8-00002-of-00002.gguf"]),
        ("one-*", ["one-00001-of-00001.gguf"]),
    ],
)
def test_a_pattern_means_one_model(pattern: str, chosen: list[str]) -> None:
    files = hugging_face.choose(HuggingFace("o/n", "main", pattern), LISTING)
    assert [file.name for file in files] == chosen


@pytest.mark.parametrize(
    ("pattern", "reason", "words"),
    [
        (
            "*.gguf",
            Reason.SOURCE_AMBIGUOUS,
            "matches 5 models of o/n: Q8/a-Q8-00001-of-00002.gguf (9 B), a-Q4_K_M.gguf",
        ),
        ("*Q?_K_M*", Reason.SOURCE_AMBIGUOUS, "a-Q4_K_M.gguf (4.0 GB), a-Q5_K_M.gguf (5.0 GB)"),
        ("*Q8*", Reason.SOURCE_AMBIGUOUS, 'write source.huggingFace.file: "Q8/a-Q8-00001-of-00002.gguf"'),
        ("*q4*", Reason.SOURCE_NOT_FOUND, "it has: Q8/a-Q8-00001-of-00002.gguf"),
        ("broken-*", Reason.SOURCE_NOT_FOUND, "lacks broken-00001-of-00003.gguf, broken-00003-of-00003.gguf"),
        ("README.md", Reason.SOURCE_NOT_FOUND, "matches 'README.md'"),
    ],
)
def test_a_pattern_that_means_none_or_several_is_explained(pattern: str, reason: Reason, words: str) -> None:
    with pytest.raises(WeightsFailure, match=re.escape(words)) as failed:
        hugging_face.choose(HuggingFace("o/n", "main", pattern), LISTING)
    assert failed.value.reason == reason


def test_a_repository_without_models_says_so() -> None:
    with pytest.raises(WeightsFailure, match=r"it has no \.gguf file at all"):
        hugging_face.choose(HuggingFace("o/n"), [HubFile("model.safetensors", 1)])


def test_the_counting_model_is_fetched_whole(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    """A model that real engines load, with a vocabulary and a chat template."""
    counting = pytest.importorskip("testbed.models.counting", reason="needs the e2e dependencies")
    path = tmp_path / "counting.gguf"
    counting.write(path, 20)
    hub.commit({"counting.gguf": path.read_bytes()})
    spec = hub_spec(hub, tmp_path / "v")
    run(spec)
    assert model_bytes(spec) == path.read_bytes()
    assert local.check(Path(spec.model_path)).architecture == "llama"
