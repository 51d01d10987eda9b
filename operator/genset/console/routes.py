"""Routes are shown policy by policy: tiers as a picture, what is asked now, what is down, and what has failed over. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genset.console import words
from genset.console.heard import Heard, HeardPolicy, HeardRouter, Sees, tone, urgency
from genset.console.history import PolicyTrack, Tiers
from genset.console.paging import AskedPage, PageOf, page_of
from genset.contracts.router_state import BackendState
from genset.overview import Matter

MARKS = 50  # that are listed


@dataclass(frozen=True)
class BackendPicture:
    """A backend in a tier. `state` is a word for people, `why` says more, `tone` is well, passing or bad."""

    name: str
    kind: str
    what: str
    zone: str
    weight: int
    tone: str
    state: str
    why: str
    in_flight: int
    queued: int
    p50: str
    p99: str
    tokens: str


@dataclass(frozen=True)
class TierPicture:
    """A tier has a number from 1, the share of answers that it gave lately, and its backends."""

    number: int
    share: int | None
    answers: bool
    backends: Sequence[BackendPicture]


@dataclass(frozen=True)
class RoutePicture:
    """A route has what it takes, and its tiers in their order. `answering`: the first tier of which a backend can be asked."""

    name: str
    takes: str
    answering: int | None
    tiers: Sequence[TierPicture]


@dataclass(frozen=True)
class OutageLine:
    """An outage is what routers see as down now."""

    scope: str
    subject: str
    reason: str
    message: str
    since: str


@dataclass(frozen=True)
class MarkLine:
    """A mark is a failover as it is listed."""

    time: str
    route: str
    backend: str
    reason: str
    count: int


@dataclass(frozen=True)
class RouterLine:
    """A router is one pod: what it says, or why nothing is known of it."""

    pod: str
    tone: str
    words: str
    in_flight: str
    heard: str


@dataclass(frozen=True)
class PolicyRow:
    """A row is one RoutePolicy in the list."""

    namespace: str
    name: str
    state: str
    tone: str
    matters: int
    routers: str
    in_flight: str
    house_share: str
    down: Sequence[str]
    failed_over: str
    routes: Sequence[RoutePicture]


@dataclass(frozen=True)
class PolicyPage:
    """The page of one policy."""

    row: PolicyRow
    url: str
    matters: Sequence[Matter]
    outages: Sequence[OutageLine]
    routers: Sequence[RouterLine]
    marks: Sequence[MarkLine]
    has_history: bool


def listing(heard: Heard, sees: Sees, asked: AskedPage) -> PageOf[PolicyRow]:
    """Returns the policies that somebody sees: what needs somebody first, then by name. Those on the page get pictures."""
    held = sorted((one for one in heard.policies if sees(one.line.namespace)), key=_order)
    found = page_of(held, asked, _text)
    rows = [_row(one, heard) for one in found.rows]
    return PageOf(rows, found.asked, found.page, found.pages, found.found, found.every)


def one(heard: Heard, namespace: str, name: str) -> PolicyPage | None:
    """Returns the page of a policy; None if there is none."""
    policy = next((one for one in heard.policies if (one.line.namespace, one.line.name) == (namespace, name)), None)
    if policy is None:
        return None
    track = heard.tracks.get(policy.key)
    return PolicyPage(
        _row(policy, heard),
        str(policy.status.get("url", "")),
        [matter for matter in policy.matters if not matter.what.startswith("outage")],
        list(_outages(policy)),
        [_router(router, heard.now) for router in heard.routers_of(policy.key)],
        _marks(track),
        track is not None and bool(track.samples),
    )


def series(heard: Heard, namespace: str, name: str) -> dict[str, Any]:
    """Returns answers by tier and failovers over time, for a chart: `at` in seconds, a list of counts for each tier."""
    track = heard.tracks.get(f"{namespace}/{name}")
    samples = list(track.samples) if track is not None else []
    depth = max((len(held) for sample in samples for held in sample.answers.values()), default=0)
    tiers = [
        [sum(held[tier] for held in sample.answers.values() if len(held) > tier) for sample in samples]
        for tier in range(depth)
    ]
    marks = [
        {"at": round(mark.at, 1), "text": f"{mark.route} to {mark.backend}: {mark.reason}", "count": mark.count}
        for mark in (track.marks if track is not None else ())
    ]
    return {
        "at": [round(sample.at, 1) for sample in samples],
        "tiers": tiers,
        "marks": marks,
        "now": round(heard.now, 1),
    }


def tiers_of(policy: HeardPolicy) -> Tiers:
    """Returns the tier of each backend in each route, from 1."""
    return {
        (str(route.get("name", "")), str(backend.get("name", ""))): number
        for route in policy.spec.get("routes") or ()
        for number, tier in enumerate(route.get("tiers") or (), 1)
        for backend in tier.get("backends") or ()
    }


def _order(one: HeardPolicy) -> tuple[int, str, str]:
    return urgency(one.matters, serves=one.line.serves), one.line.namespace, one.line.name


def _text(one: HeardPolicy) -> str:
    line = one.line
    routes = " ".join(str(route.get("name", "")) for route in one.spec.get("routes") or ())
    backends = " ".join(str(backend.get("name", "")) for backend in one.spec.get("backends") or ())
    return f"{line.namespace} {line.name} {line.state} {routes} {backends} {' '.join(line.down)}"


def _row(policy: HeardPolicy, heard: Heard) -> PolicyRow:
    line, routers = policy.line, heard.routers_of(policy.key)
    told = [router.state for router in routers if router.state is not None]
    track = heard.tracks.get(policy.key)
    last = track.marks[-1] if track is not None and track.marks else None
    down = {**dict.fromkeys(line.down), **dict.fromkeys(_down_now(routers))}
    return PolicyRow(
        line.namespace,
        line.name,
        line.state,
        tone(policy.matters, serves=line.serves),
        sum(not matter.passes for matter in policy.matters),
        f"{line.readyRouters} of {words.UNKNOWN if line.routers is None else line.routers}",
        words.number(sum(state.in_flight for state in told)) if told else words.UNKNOWN,
        line.houseShare or words.UNKNOWN,
        list(down),
        words.ago(last.at, heard.now) if last is not None else "",
        [_route(route, policy, routers, track, heard.now) for route in policy.spec.get("routes") or ()],
    )


def _down_now(routers: Sequence[HeardRouter]) -> Iterator[str]:
    """Yields what routers themselves say is down, which is newer than what the operator has written."""
    for router in routers:
        for outage in router.config.outages if router.config is not None else ():
            subject = outage.backend if outage.scope == "Backend" else ", ".join(outage.backends)
            yield f"{outage.scope} {subject}".strip()


def _route(
    route: Mapping[str, Any],
    policy: HeardPolicy,
    routers: Sequence[HeardRouter],
    track: PolicyTrack | None,
    now: float,
) -> RoutePicture:
    known = {str(one.get("name", "")): one for one in policy.spec.get("backends") or ()}
    name = str(route.get("name", ""))
    shares = _shares(track, name)
    tiers, answering = [], None
    for number, tier in enumerate(route.get("tiers") or (), 1):
        pictures = [
            _backend(one, known.get(str(one.get("name", "")), {}), routers, track, now)
            for one in tier.get("backends") or ()
        ]
        if answering is None and any(one.tone in ("well", "warned") for one in pictures):
            answering = number
        share = (
            shares[number - 1] if shares is not None and number <= len(shares) else 0 if shares is not None else None
        )
        tiers.append(TierPicture(number, share, answering == number, pictures))
    return RoutePicture(name, _takes(route.get("match") or {}), answering, tiers)


def _takes(match: Mapping[str, Any]) -> str:
    models = ", ".join(map(str, match.get("models") or ()))
    more = [name for name in match if name != "models"]
    return " ".join(filter(None, (models or "every model", f"(by {', '.join(more)}, too)" if more else "")))


def _shares(track: PolicyTrack | None, route: str) -> list[int] | None:
    """Returns which part of the answers of the last half hour each tier gave; None if there were none."""
    counts: list[int] = []
    recent = [sample.answers.get(route, ()) for sample in track.samples] if track is not None else []
    for held in (*recent, tuple(track.counted.get(route, ())) if track is not None else ()):
        counts.extend(0 for _ in range(len(held) - len(counts)))
        for place, count in enumerate(held):
            counts[place] += count
    return [words.percent(count, sum(counts)) for count in counts] if sum(counts) else None


def _backend(
    named: Mapping[str, Any],
    spec: Mapping[str, Any],
    routers: Sequence[HeardRouter],
    track: PolicyTrack | None,
    now: float,
) -> BackendPicture:
    name, cloud = str(named.get("name", "")), spec.get("cloud") or {}
    told = [
        one for router in routers if router.state is not None and (one := router.state.backends.get(name)) is not None
    ]
    mood, state, why = _verdict(told)
    return BackendPicture(
        name,
        "cloud" if cloud else "house",
        f"{cloud.get('provider', '')} {cloud.get('model', '')}".strip()
        if cloud
        else str((spec.get("deployment") or {}).get("name", "")),
        str(spec.get("dataZone", "world")) if cloud else "house",
        int(named.get("weight", 1)),
        mood,
        state,
        why,
        sum(one.in_flight for one in told),
        sum(one.queued for one in told),
        words.took(track.first_token(name, 0.5)) if track is not None else words.UNKNOWN,
        words.took(track.first_token(name, 0.99)) if track is not None else words.UNKNOWN,
        words.rate(track.tokens_per_second(name, now)) if track is not None else words.UNKNOWN,
    )


def _verdict(told: Sequence[BackendState]) -> tuple[str, str, str]:
    """Returns tone, state and reason of a backend, as all of its routers see it."""
    if not told:
        return "passing", "not heard of", "no router has told of it"
    asking = [one for one in told if one.admits]
    refusing = next((one for one in told if not one.admits), None)
    if refusing is None:
        sick = sum(end.healthy is False for one in told for end in one.endpoints)
        return ("well", "asked", "") if not sick else ("warned", "asked", f"addresses that do not answer: {sick}")
    reason = ": ".join(filter(None, (refusing.why_not.replace("_", " "), refusing.detail)))
    if asking:
        return "warned", f"passed over by {len(told) - len(asking)} of {len(told)} routers", reason
    return "bad", "passed over", reason


def _outages(policy: HeardPolicy) -> Iterator[OutageLine]:
    for told in policy.status.get("outages") or ():
        yield OutageLine(
            str(told.get("scope", "")),
            str(told.get("account") or told.get("backend") or ""),
            str(told.get("reason", "")),
            str(told.get("message", "")),
            str(told.get("since", "")),
        )


def _router(router: HeardRouter, now: float) -> RouterLine:
    heard = words.ago(router.at, now)
    if router.state is None or router.problem:
        return RouterLine(router.pod, "bad", router.problem or "has not answered yet", words.UNKNOWN, heard)
    error = router.config.error if router.config is not None else ""
    said = error or router.state.ledger_failing or ("is leaving" if router.state.draining else "serves")
    mood = "warned" if error or router.state.ledger_failing else "passing" if router.state.draining else "well"
    return RouterLine(router.pod, mood, said, words.number(router.state.in_flight), heard)


def _marks(track: PolicyTrack | None) -> list[MarkLine]:
    recent = list(track.marks)[-MARKS:] if track is not None else []
    return [MarkLine(words.clock(one.at), one.route, one.backend, one.reason, one.count) for one in reversed(recent)]
