"""A shape is what a backend's requests have besides what the client says, and what they lack of it. Pure."""

from __future__ import annotations

from typing import Any, final

from genset.router.providers import Provider


@final
class Shape:
    """A Shape is that of one target: the ways of its provider, and the fields that its policy adds."""

    __slots__ = ("_added", "_provider")

    def __init__(self, provider: Provider, added: dict[str, Any] | None) -> None:
        self._provider = provider
        self._added = added

    def of(self, request: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Returns the request as the target gets it, and the fields that were left out.

        It is the same object if nothing differs; it is not changed. Raises Untranslatable.
        """
        dropped: tuple[str, ...] = ()
        fields = self._provider.fields
        if fields is not None:
            request, dropped = fields.shaped(self._provider.name, request)
        if self._added:
            request = merged(request, self._added)
        return request, dropped


def merged(request: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """Returns the request with these fields. Where both have one, the policy's counts; objects are merged."""
    made = dict(request)
    for key, value in added.items():
        before = made.get(key)
        made[key] = merged(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return made
