"""A shape is what a backend's requests have besides what the client says, and what they lack of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from genset.router.providers import Provider

_LORA: Final = "lora"


@final
class LoraChoice:
    """A LoraChoice has a llama-server use one of its adapters, or none.

    Each request names all of them, the others with a scale of zero: without the list the server's own scales count, which
    anybody who reaches it can set (POST /lora-adapters). It ignores numbers that it does not know.
    """

    __slots__ = ("_adapters", "_model")

    def __init__(self, model: str, adapters: Sequence[str]) -> None:
        """`model` is the adapter's name, or that of the model without one."""
        self._model = model
        self._adapters = {name: number for number, name in enumerate(adapters)}

    def of(self, loaded: Mapping[str, int] | None) -> list[dict[str, Any]]:
        """Returns the scales for a server that has told of these adapters, with its numbers of them; None: not yet, which only
        requests for the model without adapters meet."""
        if loaded is None:
            return [{"id": number, "scale": 0.0} for number in self._adapters.values()]
        return [{"id": number, "scale": 1.0 if name == self._model else 0.0} for name, number in loaded.items()]


@final
class Shape:
    """A Shape is that of one target: the ways of its provider, the fields that its policy adds, and the adapter it stands for."""

    __slots__ = ("_added", "_lora", "_provider")

    def __init__(self, provider: Provider, added: dict[str, Any] | None, lora: LoraChoice | None = None) -> None:
        self._provider = provider
        self._added = added
        self._lora = lora

    def of(
        self, request: dict[str, Any], loaded: Mapping[str, int] | None = None
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Returns the request as the target gets it, and the fields that were left out. `loaded` is that of the endpoint.

        It is the same object if nothing differs; it is not changed. Raises Untranslatable.
        """
        dropped: tuple[str, ...] = ()
        fields = self._provider.fields
        if fields is not None:
            request, dropped = fields.shaped(self._provider.name, request)
        if self._added:
            request = merged(request, self._added)
        if self._lora is not None:
            if _LORA in request:
                dropped += (_LORA,)
            request = {**request, _LORA: self._lora.of(loaded)}
        return request, dropped


def merged(request: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """Returns the request with these fields. Where both have one, the policy's counts; objects are merged."""
    made = dict(request)
    for key, value in added.items():
        before = made.get(key)
        made[key] = merged(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return made
