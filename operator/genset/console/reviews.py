"""The API server says who shows a token, and what he may see: nothing here knows a role by itself.

Fleet is for whoever may list ModelDeployments of a namespace, Routes and Continuity for whoever may list its RoutePolicies.
What was used and what left the house is for whoever may get `routepolicies/usage`, a right that exists for this alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from genset import names
from genset.kube.client import ApiError, ApiServer

KEPT_SECONDS: Final = 30.0  # that a verdict holds
OLDEST_SECONDS: Final = 300.0  # that it holds while the API server is away
MOST_VERDICTS: Final = 20_000
PARALLEL: Final = 16
_EVERYWHERE: Final = ""


class Right(Enum):
    """A right is one of the three that pages ask for: verb, resource, subresource."""

    FLEET = ("list", names.PLURALS[names.MODEL_DEPLOYMENT], "")
    ROUTES = ("list", names.PLURALS[names.ROUTE_POLICY], "")
    USAGE = ("get", names.PLURALS[names.ROUTE_POLICY], "usage")


@dataclass(frozen=True)
class Person:
    """A person is whom the API server, or an identity provider, has named. `extra`: what authorizers may look at, too."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class NoAnswer(Exception):
    """The API server does not say. The message is for whoever waits."""


class Reviews:
    """Reviews ask one API server, and remember its verdicts for half a minute."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._verdicts: OrderedDict[tuple[Person, Right, str], tuple[bool, float]] = OrderedDict()
        self._slots = asyncio.Semaphore(PARALLEL)

    async def who(self, token: str) -> Person | None:
        """Returns who shows a token: one made for the console alone, or one for the API server. Raises NoAnswer."""
        for audiences in ([names.CONSOLE_AUDIENCE], []):
            spec: dict[str, Any] = {"token": token, **({"audiences": audiences} if audiences else {})}
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
            status = (await self._post("/apis/authentication.k8s.io/v1/tokenreviews", body)).get("status") or {}
            if status.get("authenticated") is True and (
                not audiences or audiences[0] in (status.get("audiences") or ())
            ):
                return _person(status.get("user") or {})
        return None

    async def namespaces(self, person: Person, right: Right, of: Iterable[str]) -> frozenset[str]:
        """Returns those of some namespaces in which a person has a right. Raises NoAnswer."""
        wanted = set(of)
        if await self._may(person, right, _EVERYWHERE):
            return frozenset(wanted)
        found = await asyncio.gather(*(self._may(person, right, one) for one in sorted(wanted)))
        return frozenset(one for one, may in zip(sorted(wanted), found, strict=True) if may)

    async def everywhere(self, person: Person, right: Right) -> bool:
        """Returns whether a person has a right in all namespaces. Raises NoAnswer."""
        return await self._may(person, right, _EVERYWHERE)

    async def _may(self, person: Person, right: Right, namespace: str) -> bool:
        key, now = (person, right, namespace), time.monotonic()
        verdict = self._verdicts.get(key)
        if verdict is not None and now - verdict[1] < KEPT_SECONDS:
            return verdict[0]
        try:
            async with self._slots:
                may = await self._review(person, right, namespace)
        except NoAnswer:
            if verdict is not None and now - verdict[1] < OLDEST_SECONDS:
                return verdict[0]
            raise
        self._verdicts[key] = (may, now)
        self._verdicts.move_to_end(key)
        while len(self._verdicts) > MOST_VERDICTS:
            self._verdicts.popitem(last=False)
        return may

    async def _review(self, person: Person, right: Right, namespace: str) -> bool:
        verb, resource, subresource = right.value
        asked = {"group": names.GROUP, "resource": resource, "verb": verb}
        if subresource:
            asked["subresource"] = subresource
        if namespace:
            asked["namespace"] = namespace
        spec: dict[str, Any] = {"user": person.name, "groups": list(person.groups), "resourceAttributes": asked}
        if person.uid:
            spec["uid"] = person.uid
        if person.extra:
            spec["extra"] = {name: list(values) for name, values in person.extra}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        status = (await self._post("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)).get("status") or {}
        return status.get("allowed") is True and status.get("denied") is not True

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._api.request("POST", path, body=body, attempts=2)
        except ApiError as problem:
            raise NoAnswer(problem.message) from problem


def _person(user: dict[str, Any]) -> Person | None:
    name = user.get("username")
    if not isinstance(name, str) or not name:
        return None
    extra = {str(key): tuple(map(str, values or ())) for key, values in (user.get("extra") or {}).items()}
    return Person(
        name, tuple(map(str, user.get("groups") or ())), str(user.get("uid") or ""), tuple(sorted(extra.items()))
    )
