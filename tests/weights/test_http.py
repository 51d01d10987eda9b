"""Web source against a real, misbehaving server: what ends up on the volume, and what went over the wire."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import httpx
import pytest

from genset.api.modeldeployment import Reason
from genset.contracts.puller import FetchSpec
from genset.contracts.sources import Http
from genset.weights.failure import WeightsFailure
from genset.weights.progress import ProgressLog
from genset.weights.retry import Retry
from tests.support.weights.fakes import FakeOrigin, Fault, serving, sha256, tiny_gguf
from tests.support.weights.running import FAST, Run, model_bytes, servable, web_spec

MODEL = tiny_gguf(600_000)


def test_a_file_arrives_verified_where_the_engine_looks(
    origin: FakeOrigin, tmp_path: Path, run: Run, progress: ProgressLog
) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec)
    assert model_bytes(spec) == MODEL
    assert servable(tmp_path) == [str(Path(spec.model_path).relative_to(tmp_path))]
    snapshot = json.loads(progress.snapshot().to_json())
    assert snapshot == {
        "state": "done", "bytes": len(MODEL), "totalBytes": len(MODEL), "revision": "", "file": "m.gguf",
        "reason": "", "message": "",
    }  # fmt: skip
    leftovers = sorted(path.name for path in Path(spec.folder).rglob("*") if path.is_file())
    assert leftovers == ["complete.json", "lock", "model.gguf"]


def test_a_restart_needs_no_network(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec)
    origin.close()
    run(spec)
    assert model_bytes(spec) == MODEL
    assert len(origin.asked) == 1


def test_another_url_for_the_same_checksum_needs_no_download(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    run(web_spec(origin, "/m.gguf", MODEL, tmp_path))
    run(web_spec(origin, "/moved/elsewhere.gguf", MODEL, tmp_path))
    assert len(origin.asked) == 1


def test_a_file_changed_behind_our_back_is_fetched_again(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec)
    damaged = bytearray(MODEL)
    damaged[-1] ^= 1
    Path(spec.model_path).write_bytes(damaged)
    run(spec)
    assert model_bytes(spec) == MODEL
    assert len(origin.asked) == 2


def test_a_restored_volume_is_read_again_instead_of_downloaded(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec)
    Path(spec.model_path).touch()
    run(spec)
    run(spec)
    assert len(origin.asked) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429])
def test_server_trouble_passes(origin: FakeOrigin, tmp_path: Path, run: Run, status: int) -> None:
    origin.put("/m.gguf", MODEL)
    origin.faults = [Fault(status=status)] * 3
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec)
    assert model_bytes(spec) == MODEL
    assert [asked.status for asked in origin.asked] == [status] * 3 + [200]


def test_retry_after_is_obeyed(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    origin.faults = [Fault(status=429, headers={"Retry-After": "1"})]
    slept: list[float] = []
    run(web_spec(origin, "/m.gguf", MODEL, tmp_path), Retry(first=0.01, sleep=slept.append))
    assert slept == [1.0]


def test_a_server_that_asks_for_too_long_a_wait_is_given_up_at_once(
    origin: FakeOrigin, tmp_path: Path, run: Run
) -> None:
    origin.put("/m.gguf", MODEL)
    origin.faults = [Fault(status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(WeightsFailure, match="answered 429") as failed:
        run(web_spec(origin, "/m.gguf", MODEL, tmp_path))
    assert (failed.value.reason, failed.value.permanent) == (Reason.SOURCE_UNREACHABLE, False)


def test_a_cut_download_continues_where_it_was(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    origin.faults = [Fault(cut_after=200_000), Fault(cut_after=200_000), Fault(status=500)]
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec)
    assert model_bytes(spec) == MODEL
    ranges = [asked.headers.get("range") for asked in origin.asked]
    assert ranges == [None, "bytes=200000-", "bytes=400000-", "bytes=400000-"]
    assert origin.sent == len(MODEL), "no byte was sent twice"


def test_a_connection_that_breaks_again_and_again_still_ends_well(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    """Patience counts time without progress, not attempts."""
    origin.put("/m.gguf", MODEL)
    origin.faults = [Fault(cut_after=20_000)] * 40
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec, Retry(patience=0.2, first=0.01, longest=0.01))
    assert model_bytes(spec) == MODEL
    assert origin.sent == len(MODEL)


def test_a_server_that_falls_silent_is_asked_again(
    origin: FakeOrigin, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that stays open and brings nothing ends no download, and holds none up for ever (kserve/kserve#5611)."""
    monkeypatch.setattr("genset.weights.client._TIMEOUT", httpx.Timeout(5.0, read=0.3))
    origin.put("/m.gguf", MODEL)
    origin.faults = [Fault(pace=20.0)] * 2
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec)
    assert model_bytes(spec) == MODEL
    assert [asked.headers.get("range", "") for asked in origin.asked] == ["", "bytes=16384-", "bytes=32768-"]


def test_a_server_without_ranges_starts_over(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL, ranges=False)
    origin.faults = [Fault(cut_after=200_000)]
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec)
    assert model_bytes(spec) == MODEL
    assert origin.sent == len(MODEL) + 200_000


def test_two_versions_are_never_mixed(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    """The file is replaced while the download is cut: the first part was of the old one."""
    old = tiny_gguf(600_000, seed=1)
    origin.put("/m.gguf", old)
    origin.faults = [Fault(cut_after=200_000)]
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    slept: list[float] = []

    def replace_file(seconds: float) -> None:
        slept.append(seconds)
        origin.put("/m.gguf", MODEL)

    run(spec, Retry(first=0.01, sleep=replace_file))
    assert model_bytes(spec) == MODEL
    assert origin.asked[1].headers["if-range"] == f'"{_md5(old)}"'
    assert origin.asked[1].status == 200
    assert len(slept) == 1


def test_a_download_goes_on_in_a_new_pod(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    origin.faults = [Fault(cut_after=300_000), *[Fault(status=503)] * 1000]
    with pytest.raises(WeightsFailure, match="answered 503"):
        run(spec, Retry(patience=0.1, first=0.01, longest=0.02))
    assert servable(tmp_path) == []
    origin.faults = []
    run(spec)
    assert model_bytes(spec) == MODEL
    assert origin.sent == len(MODEL), "what the first run had was not sent again"


def test_a_damaged_part_costs_one_more_download_not_the_model(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    origin.faults = [Fault(cut_after=300_000), *[Fault(status=503)] * 1000]
    with pytest.raises(WeightsFailure):
        run(spec, Retry(patience=0.1, first=0.01, longest=0.02))
    [partial] = tmp_path.rglob("*.partial")
    data = bytearray(partial.read_bytes())
    data[1000] ^= 0xFF
    partial.write_bytes(data)
    origin.faults = []
    run(spec)
    assert model_bytes(spec) == MODEL
    assert origin.sent == 2 * len(MODEL), "the rest of the first try, and one clean download"


def test_a_partial_file_that_is_already_whole_is_only_verified(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    origin.faults = [Fault(cut_after=len(MODEL) - 1), *[Fault(status=503)] * 1000]
    with pytest.raises(WeightsFailure):
        run(spec, Retry(patience=0.1, first=0.01, longest=0.02))
    [partial] = tmp_path.rglob("*.partial")
    partial.write_bytes(MODEL)
    origin.faults = []
    run(spec)
    assert model_bytes(spec) == MODEL
    assert origin.asked[-1].status == 416


def test_a_wrong_checksum_leaves_nothing(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", tiny_gguf(600_000, seed=9))
    with pytest.raises(WeightsFailure) as failed:
        run(web_spec(origin, "/m.gguf", MODEL, tmp_path))
    assert failed.value.reason == Reason.CHECKSUM_MISMATCH
    assert failed.value.permanent
    assert sha256(MODEL) in failed.value.message
    assert sha256(tiny_gguf(600_000, seed=9)) in failed.value.message
    assert "correct the checksum" in failed.value.message
    assert servable(tmp_path) == []
    assert list(tmp_path.rglob("*.partial")) == []
    assert origin.sent == len(MODEL), "one download, not several"


def test_the_same_wrong_file_is_not_downloaded_again(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    """The kubelet restarts a failed init container for ever; the link should not carry the file each time."""
    origin.put("/m.gguf", tiny_gguf(600_000, seed=9))
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    for _ in range(3):
        with pytest.raises(WeightsFailure, match="not the file that was asked for"):
            run(spec)
    assert origin.sent < len(MODEL) + 3
    origin.put("/m.gguf", MODEL)
    run(spec)
    assert model_bytes(spec) == MODEL


def test_a_body_without_length_that_ends_early_is_noticed(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL, sized=False)
    origin.faults = [Fault(cut_after=100_000)]
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec)
    assert model_bytes(spec) == MODEL


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html><html><body>Please sign in</body></html>", "an HTML page (a login or error page"),
        (b"\n\n<HTML><head>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
        (b'{"error": "no"}', "JSON"),
        (b"PK\x03\x04" + b"\0" * 100, "a ZIP archive or PyTorch checkpoint"),
        (b"\0" * 4096, "zeros at its start"),
        (b"", "empty"),
        (b"GGUF", "the file ends inside its header"),
        (b"GG", "something else that starts with b'GG'"),
        (tiny_gguf(5000)[:60], "the file ends inside its header"),
        (tiny_gguf(5000, split=(1, 3)), "file 1 of 3, where a model in one file belongs"),
    ],
)
def test_what_is_no_model_is_named(origin: FakeOrigin, tmp_path: Path, run: Run, body: bytes, words: str) -> None:
    """The checksum agrees: somebody took it from the wrong file."""
    origin.put("/m.gguf", body)
    with pytest.raises(WeightsFailure, match=re.escape(words)) as failed:
        run(web_spec(origin, "/m.gguf", body, tmp_path))
    assert failed.value.reason == Reason.NOT_GGUF
    assert servable(tmp_path) == []


def test_a_login_page_in_place_of_the_model_is_named_and_not_read_to_its_end(
    origin: FakeOrigin, tmp_path: Path, run: Run
) -> None:
    page = b"<html>" + b"x" * 50_000_000
    origin.put("/login", page)
    origin.redirects["/m.gguf"] = "/login"
    with pytest.raises(WeightsFailure, match="HTML page") as failed:
        run(web_spec(origin, "/m.gguf", MODEL, tmp_path))
    assert failed.value.reason == Reason.NOT_GGUF
    assert servable(tmp_path) == []
    assert origin.sent < 10_000_000


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (401, Reason.SOURCE_UNAUTHORIZED, "source.http.headersSecretRef"),
        (403, Reason.SOURCE_UNAUTHORIZED, "source.http.headersSecretRef"),
        (404, Reason.SOURCE_NOT_FOUND, "there is no such file"),
        (410, Reason.SOURCE_NOT_FOUND, "there is no such file"),
        (400, Reason.SOURCE_UNREACHABLE, "answered 400"),
    ],
)
def test_refusals_are_not_tried_again(
    origin: FakeOrigin, tmp_path: Path, run: Run, status: int, reason: Reason, words: str
) -> None:
    origin.put("/m.gguf", MODEL)
    origin.faults = [Fault(status=status)] * 10
    with pytest.raises(WeightsFailure, match=words) as failed:
        run(web_spec(origin, "/m.gguf", MODEL, tmp_path))
    assert (failed.value.reason, failed.value.permanent) == (reason, True)
    assert len(origin.asked) == 1


def test_a_server_that_is_down_is_unreachable(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    origin.close()
    with pytest.raises(WeightsFailure, match="can't be reached") as failed:
        run(spec, Retry(patience=0.1, first=0.01))
    assert (failed.value.reason, failed.value.permanent) == (Reason.SOURCE_UNREACHABLE, False)


def test_headers_of_the_secret_reach_their_origin_and_no_other(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    secret = tmp_path / "headers"
    secret.write_text("# for the artifact store\nAuthorization: Bearer s3cret\nX-Api-Key: k\n\n")
    with serving(FakeOrigin("127.0.0.2")) as elsewhere:
        elsewhere.put("/blob", MODEL)
        origin.login = ("x-api-key", "k")
        origin.redirects = {"/m.gguf": "/inner", "/inner": elsewhere.url + "/blob"}
        spec = web_spec(origin, "/m.gguf", MODEL, tmp_path / "v", headers_file=str(secret))
        run(spec)
        assert model_bytes(spec) == MODEL
        assert [asked.headers.get("authorization") for asked in origin.asked] == ["Bearer s3cret"] * 2
        [asked] = elsewhere.asked
        assert "authorization" not in asked.headers
        assert "x-api-key" not in asked.headers


@pytest.mark.parametrize("text", ["nonsense", "Bad Name: x", "Range: bytes=0-", "", "X: \x01", "X: ä"])
def test_unusable_headers_are_refused_without_showing_them(
    origin: FakeOrigin, tmp_path: Path, run: Run, text: str
) -> None:
    secret = tmp_path / "headers"
    secret.write_text(text)
    with pytest.raises(WeightsFailure, match="headersSecretRef") as failed:
        run(web_spec(origin, "/m.gguf", MODEL, tmp_path / "v", headers_file=str(secret)))
    assert failed.value.reason == Reason.SOURCE_UNAUTHORIZED
    assert not text or text not in failed.value.message


def test_secrets_in_the_url_stay_out_of_messages(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    spec = FetchSpec(Http(f"{origin.url}/x.gguf?signature=s3cret", sha256(MODEL)), into=str(tmp_path))
    with pytest.raises(WeightsFailure) as failed:
        run(spec)
    assert "/x.gguf answered 404" in failed.value.message
    assert "s3cret" not in failed.value.message


def test_circles_of_redirects_end(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.redirects = {"/a": "/b", "/b": "/a"}
    with pytest.raises(WeightsFailure, match="redirects in circles"):
        run(web_spec(origin, "/a", MODEL, tmp_path))


def test_a_redirect_out_of_http_is_refused(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.redirects = {"/a": "file:///etc/passwd"}
    with pytest.raises(WeightsFailure, match="not HTTP"):
        run(web_spec(origin, "/a", MODEL, tmp_path))


def test_a_compressed_answer_is_refused(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    origin.faults = [Fault(status=200, headers={"Content-Encoding": "gzip"}, body=b"\x1f\x8b")]
    with pytest.raises(WeightsFailure, match="compressed"):
        run(web_spec(origin, "/m.gguf", MODEL, tmp_path))


def test_parts_that_were_not_asked_for_are_not_used(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    wrong = Fault(status=206, headers={"Content-Range": f"bytes 100-199/{len(MODEL)}"}, body=MODEL[100:200])
    origin.faults = [Fault(cut_after=50_000), wrong]
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec, FAST)
    assert model_bytes(spec) == MODEL


def _md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()
