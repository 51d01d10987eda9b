"""Group crashes are how pods of groups have ended, kept over the life of these pods.

The controller of LeaderWorkerSets makes a whole group anew as soon as one of its containers is started a second time
(`RecreateGroupOnPodRestart`): no pod lives long enough to be in a crash loop, or to say what the one before it said. Its name
lives on, and so this book counts by names, until the group's leader is ready or the resource changes. All memory is of this
session.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from genset import names
from genset.controllers.keys import Key
from genset.status.pod import ContainerState, PodView


@dataclass
class _Crashes:
    """These are of the pods of one name. `first`: when the first of them ended, RFC 3339."""

    first: str
    last: PodView
    uids: set[str] = field(default_factory=set)


@dataclass
class _Book:
    generation: int
    groups: dict[str, dict[str, _Crashes]] = field(default_factory=dict)  # by leader, by pod


class GroupCrashes:
    """This book is that of all deployments whose replicas are groups."""

    def __init__(self) -> None:
        self._books: dict[Key, _Book] = {}

    def forget(self, key: Key) -> None:
        """Forgets a resource that is gone."""
        self._books.pop(key, None)

    def carried(self, key: Key, generation: int, pods: Iterable[PodView], *, wanted: int) -> tuple[PodView, ...]:
        """Returns the pods as one that had stayed would be: with the restarts of all of its name, and the words of the last.

        Of each group only the pod that ended first is so; that the others followed says nothing. `wanted`: groups.
        """
        every = tuple(pods)
        book = self._books.get(key)
        if book is None or book.generation != generation:
            book = self._books[key] = _Book(generation)
        for pod in every:
            if pod.ready and pod.name == _leader(pod):
                book.groups.pop(pod.name, None)
        for pod in every:
            _note(book.groups, pod)
        book.groups = {leader: group for leader, group in book.groups.items() if _ordinal(leader) < wanted}
        told = [min(group.values(), key=_begin) for group in book.groups.values()]
        present = {pod.name: pod for pod in every if not pod.leaving}
        carried = {crashes.last.name: _joined(crashes, present.get(crashes.last.name)) for crashes in told}
        return (*(pod for pod in every if pod.name not in carried), *carried.values())


def _note(groups: dict[str, dict[str, _Crashes]], pod: PodView) -> None:
    ends = [str(state.last.get("finishedAt") or "") for state in _ended(pod) if state.last is not None]
    if ends:
        crashes = groups.setdefault(_leader(pod), {}).setdefault(pod.name, _Crashes(min(ends), pod))
        crashes.last = pod
        crashes.uids.add(pod.uid)


def _begin(crashes: _Crashes) -> tuple[str, str]:
    return crashes.first, crashes.last.name


def _ended(pod: PodView) -> Iterator[ContainerState]:
    return (state for state in pod.containers if state.restarts and state.last is not None and not state.foreign)


def _joined(crashes: _Crashes, pod: PodView | None) -> PodView:
    """Returns a pod with what those of its name before it have told. None: the next one is not there yet."""
    again = {state.name for state in _ended(crashes.last)}
    now = pod if pod is not None else replace(crashes.last, leaving=False, phase="Running")  # as it was before it went
    states = {state.name: state for state in now.containers}
    for before in crashes.last.containers:
        state = states.get(before.name, before)
        state = replace(state, last=state.last or before.last)
        if before.name in again:
            state = replace(state, restarts=max(state.restarts, len(crashes.uids)), ready=False)
        states[before.name] = state
    return replace(now, containers=tuple(states.values()))


def _leader(pod: PodView) -> str:
    """Returns the name of the leader of a pod's group, of which those of its workers are made."""
    is_worker = pod.labels.get(names.LABEL_COMPONENT) == names.COMPONENT_WORKER
    return pod.name.rpartition("-")[0] if is_worker else pod.name


def _ordinal(leader: str) -> int:
    """Returns which group a leader has; more than any, of a pod of no group: one that a Deployment has left behind."""
    tail = leader.rpartition("-")[2]
    return int(tail) if tail.isdecimal() else sys.maxsize
