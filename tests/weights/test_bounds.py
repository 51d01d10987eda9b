"""A download is bounded: by what the source may bring, by what the volume may hold, and by where it may come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from genset.api.modeldeployment import Reason
from genset.off_limits import OffLimits
from genset.weights.client import get, make_client
from genset.weights.failure import WeightsFailure
from genset.weights.guard import guard_of
from genset.weights.volume import Volume
from tests.support.weights.fakes import FakeHub, FakeOrigin, tiny_gguf
from tests.support.weights.running import Run, hub_spec, model_bytes, web_spec

MODEL = tiny_gguf(600_000)
MORE, LESS = 700_000, 500_000


@pytest.mark.parametrize("sized", [True, False])
def test_a_file_within_its_bound_arrives(origin: FakeOrigin, tmp_path: Path, run: Run, sized: bool) -> None:
    origin.put("/m.gguf", MODEL, sized=sized)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path, max_size=len(MODEL))
    run(spec)
    assert model_bytes(spec) == MODEL


def test_a_file_that_says_that_it_is_too_large_is_not_read(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    with pytest.raises(WeightsFailure) as failed:
        run(web_spec(origin, "/m.gguf", MODEL, tmp_path, max_size=LESS))
    assert (failed.value.reason, failed.value.permanent) == (Reason.SOURCE_TOO_LARGE, True)
    told = f"/m.gguf has 600.2 kB ({len(MODEL)} bytes) in all, more than the 500.0 kB (500000 bytes) that may be downloaded"
    assert told in failed.value.message
    assert "raise spec.source.maxSize" in failed.value.message
    assert list(tmp_path.rglob("*.partial")) == []


def test_a_file_that_does_not_say_its_size_is_cut_off(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    endless = tiny_gguf(30_000_000)
    origin.put("/m.gguf", endless, sized=False)
    origin.pace = 0.001
    with pytest.raises(WeightsFailure, match=r"has more than the 500\.0 kB \(500000 bytes\) that") as failed:
        run(web_spec(origin, "/m.gguf", endless, tmp_path, max_size=LESS))
    assert failed.value.reason == Reason.SOURCE_TOO_LARGE
    assert origin.sent < len(endless) / 2
    assert list(tmp_path.rglob("*.partial")) == []


def test_a_split_model_counts_as_a_whole(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    hub.commit({f"m-{n:05d}-of-00003.gguf": tiny_gguf(300_000, seed=n, split=(n, 3)) for n in (1, 2, 3)})
    with pytest.raises(WeightsFailure, match=r"has 900\.8 kB .* in all"):
        run(hub_spec(hub, tmp_path, file="*-of-00003.gguf", max_size=MORE))
    assert hub.contents_asked == []


def test_a_volume_holds_no_more_than_it_may(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    """An emptyDir has the whole disk of its node free, and its pod is evicted for what exceeds its own limit."""
    first, second = tiny_gguf(600_000, seed=1), tiny_gguf(600_000, seed=2)
    for name, data in (("/1", first), ("/2", second)):
        origin.put(name, data)
    bounds = {"max_size": MORE, "volume_size": 1_000_000}
    kept = web_spec(origin, "/1", first, tmp_path, **bounds)
    run(kept)
    with pytest.raises(WeightsFailure, match="the volume has") as failed:
        run(web_spec(origin, "/2", second, tmp_path, **bounds))
    assert failed.value.reason == Reason.DISK_FULL and model_bytes(kept) == first
    alone = web_spec(origin, "/2", second, tmp_path, exclusive=True, **bounds)
    run(alone)
    assert model_bytes(alone) == second and not Path(kept.model_path).exists()


def test_room_is_looked_for_while_it_downloads(
    origin: FakeOrigin, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others write to the same disk, and a server need not say how much comes."""
    origin.put("/m.gguf", MODEL, sized=False)
    monkeypatch.setattr("genset.weights.reader._LOOK_BYTES", 100_000)
    left = iter([10_000_000, 10_000_000, 1000])
    monkeypatch.setattr(Volume, "_room", lambda _: next(left, 1000))
    with pytest.raises(WeightsFailure) as failed:
        run(web_spec(origin, "/m.gguf", MODEL, tmp_path))
    assert failed.value.reason == Reason.DISK_FULL
    assert 0 < sum(path.stat().st_size for path in tmp_path.rglob("*.partial")) < len(MODEL)


def test_in_a_cluster_nothing_off_limits_is_dialled(origin: FakeOrigin, hub: FakeHub, tmp_path: Path, run: Run) -> None:
    hub.commit({"m.gguf": MODEL})
    origin.put("/m.gguf", MODEL)
    for spec in (web_spec(origin, "/m.gguf", MODEL, tmp_path, guarded=True), hub_spec(hub, tmp_path, guarded=True)):
        with pytest.raises(WeightsFailure, match="is no address that pods may dial") as failed:
            run(spec)
        assert failed.value.reason == Reason.SOURCE_UNREACHABLE and failed.value.permanent
    assert origin.asked == hub.asked == []


def test_a_redirect_or_a_name_leads_nowhere_off_limits(origin: FakeOrigin, tmp_path: Path) -> None:
    """Here 127.0.0.1 may be dialled and another address of loopback may not: what DNS gives is looked at."""
    origin.put("/m", MODEL)
    origin.redirects["/moved"] = origin.url.replace("127.0.0.1", "127.0.0.2") + "/m"
    off_limits = OffLimits(("127.0.0.2/32", "::1/128"), ("metadata.internal",))
    with make_client("", off_limits) as client:
        with get(client, f"{origin.url}/m", {}, {}) as response:
            assert response.status_code == 200
        for url in (f"{origin.url}/moved", "http://metadata.internal/m"):
            with pytest.raises(WeightsFailure, match="is no address that pods may dial"), get(client, url, {}, {}):
                pass
    with make_client("", OffLimits(("127.0.0.0/8", "::1/128"))) as client:
        named = origin.url.replace("127.0.0.1", "localhost")
        with pytest.raises(WeightsFailure, match="localhost is no address"), get(client, named, {}, {}):
            pass


def test_behind_a_proxy_the_host_is_looked_at_all_the_same(origin: FakeOrigin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", origin.url)
    refused = pytest.raises(WeightsFailure, match=r"169\.254\.169\.254 is no address")
    with make_client("", OffLimits(("169.254.0.0/16",))) as client, refused:
        get(client, "http://169.254.169.254/latest", {}, {}).__enter__()
    assert origin.asked == []


def test_what_is_off_limits(tmp_path: Path, origin: FakeOrigin) -> None:
    spec = web_spec(origin, "/m", MODEL, tmp_path, forbidden_networks="10.0.0.0/8,2001:db8::/64")
    assert guard_of(spec, {"KUBERNETES_SERVICE_HOST": "192.0.2.1"}) is None
    guard = guard_of(replace(spec, guarded=True), {"KUBERNETES_SERVICE_HOST": "192.0.2.1"})
    assert guard is not None
    for address in ("192.0.2.1", "10.1.2.3", "2001:db8::5", "127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"):
        assert guard.holds(address), address
    assert not guard.holds("192.0.2.2")
