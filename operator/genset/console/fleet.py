"""The fleet is shown model by model: what it is, where it runs, how far it is, and what it does now. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genset.console import words
from genset.console.heard import Heard, HeardModel, Sees, tone, urgency
from genset.console.paging import AskedPage, PageOf, page_of
from genset.overview import Matter

MATTERS = 20  # that are shown above the table


@dataclass(frozen=True)
class FleetRow:
    """A row is one ModelDeployment. `percent`: of a download that goes on; None if none does."""

    namespace: str
    name: str
    model: str
    model_class: str
    engine: str
    nodes: str
    ready: str
    state: str
    tone: str
    matters: int
    percent: int | None
    downloaded: str
    tokens: str
    in_flight: str
    planned: str
    used: str
    adapters: str


@dataclass(frozen=True)
class FleetPage:
    """The page counts all models that somebody sees, and shows some. `matters` need somebody, `more` of them are not shown."""

    page: PageOf[HeardModel]
    rows: Sequence[FleetRow]
    serving: int
    ready: int
    matters: Sequence[Matter]
    more: int


@dataclass
class _Work:
    """This is what routers say that a deployment does."""

    in_flight: int = 0
    tokens: float | None = None


def page(heard: Heard, sees: Sees, asked: AskedPage) -> FleetPage:
    """Returns the fleet as far as somebody sees it: what needs somebody first, then by name."""
    held = sorted((one for one in heard.models if sees(one.line.namespace)), key=_order)
    found = page_of(held, asked, _text)
    work = _work(heard, {(one.line.namespace, one.line.name) for one in found.rows})
    matters = [matter for one in held for matter in one.matters if not matter.passes]
    return FleetPage(
        found,
        [_row(one, work, heard) for one in found.rows],
        sum(one.line.serves for one in held),
        sum(one.line.ready for one in held),
        matters[:MATTERS],
        max(0, len(matters) - MATTERS),
    )


def _order(one: HeardModel) -> tuple[int, str, str]:
    return urgency(one.matters, serves=one.line.serves), one.line.namespace, one.line.name


def _text(one: HeardModel) -> str:
    line = one.line
    return f"{line.namespace} {line.name} {line.model} {line.engine} {line.sizeClass} {line.state} {_nodes(one)}"


def _work(heard: Heard, wanted: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], _Work]:
    """Adds up what all routers say of these deployments, by the backends that name them."""
    found: defaultdict[tuple[str, str], _Work] = defaultdict(_Work)
    of_interest = set(wanted)
    for policy in heard.policies:
        for backend in policy.spec.get("backends") or ():
            key = (policy.line.namespace, str((backend.get("deployment") or {}).get("name", "")))
            if key not in of_interest:
                continue
            work, name = found[key], str(backend.get("name", ""))
            for router in heard.routers_of(policy.key):
                told = router.state.backends.get(name) if router.state is not None else None
                work.in_flight += told.in_flight if told is not None else 0
            track = heard.tracks.get(policy.key)
            made = track.tokens_per_second(name, heard.now) if track is not None else None
            work.tokens = work.tokens if made is None else (work.tokens or 0.0) + made
    return found


def _row(one: HeardModel, work: Mapping[tuple[str, str], _Work], heard: Heard) -> FleetRow:
    line, spec, status = one.line, one.resource.get("spec") or {}, one.resource.get("status") or {}
    key = (line.namespace, line.name)
    size, weights = status.get("size") or {}, status.get("weights") or {}
    doing = work.get(key)
    loading = weights.get("percent") if weights and weights.get("percent", 100) < 100 else None
    return FleetRow(
        namespace=line.namespace,
        name=line.name,
        model=line.model,
        model_class=" ".join(filter(None, (line.sizeClass, str(size.get("speed", ""))))) or words.UNKNOWN,
        engine=line.engine,
        nodes=_nodes(one) or words.UNKNOWN,
        ready=f"{line.ready} of {words.UNKNOWN if line.wanted is None else line.wanted}",
        state=line.state,
        tone=tone(one.matters, serves=line.serves),
        matters=sum(not matter.passes for matter in one.matters),
        percent=loading,
        downloaded=_downloaded(weights) if loading is not None else "",
        tokens=words.rate(doing.tokens) if doing is not None else words.UNKNOWN,
        in_flight=words.number(doing.in_flight) if doing is not None else words.UNKNOWN,
        planned=words.size(int(size.get("deviceBytes") or 0) or int(size.get("memoryBytes") or 0)),
        used=words.size(heard.used.get(key, 0)),
        adapters=", ".join(str(adapter.get("name", "")) for adapter in spec.get("adapters") or ()) or words.UNKNOWN,
    )


def _nodes(one: HeardModel) -> str:
    places = (one.resource.get("status") or {}).get("capacity") or ()
    return ", ".join(str(place.get("node", "")) or "elsewhere" for place in places)


def _downloaded(weights: Mapping[str, int]) -> str:
    total = weights.get("totalBytes") or 0
    return f"{words.size(weights.get('bytes') or 0)} of {words.size(total)}" if total else ""
