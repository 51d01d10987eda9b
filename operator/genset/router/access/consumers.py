"""The consumers of a router are found by the keys that requests show."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, final

from genset.contracts.access_config import AccessConfig
from genset.router.access.bearer import Prover, is_token
from genset.router.access.consumer import PAYER_PREFIX, Consumer
from genset.router.access.shown_keys import shown_keys
from genset.router.access.trials import LONGEST_WAIT_SECONDS, Trials
from genset.router.errors import ErrorAnswer, error

ANONYMOUS: Final = "anonymous"

KEY_MISSING: Final = error(
    "policy_key_unknown",
    "this router answers only who it knows (access.mode Required of its RoutePolicy): send your key as "
    "`Authorization: Bearer KEY` or `x-api-key: KEY`",
)
KEY_UNKNOWN: Final = error(
    "policy_key_unknown",
    "this key is unknown here: it is no key of any consumer of the RoutePolicy (access.consumers); correct it, or have it "
    "put into its consumer's Secret",
)
TOO_MANY_TRIALS: Final = error(
    "policy_rate_limited",
    "this address has tried too many keys that are unknown here; try again later, with a key of a consumer",
    retry_after=int(LONGEST_WAIT_SECONDS),
)
NAME_TAKEN: Final = error(
    "policy_key_unknown",
    "this token names a consumer that has keys of its own (access.consumers[].keysSecretRef): one of them must have another name",
)

MOST_GUESTS: Final = 10_000  # consumers that only tokens name, and that are remembered
MOST_TOLD: Final = 200  # of them with metrics of their own: a provider may have any number of users
OTHERS: Final = "others"  # what the metrics call the rest


@final
class Consumers:
    """The consumers are known by the digests of their keys, so that how long a look-up takes says nothing of a key.

    `digests` is another mapping after each configuration. Those whom only tokens name have the policy's defaults. `sharing` is
    None if no other router shares their limits. `trials` are those of keys that nobody has.
    """

    __slots__ = (
        "_anonymous",
        "_by_name",
        "_config",
        "_guests",
        "_rest",
        "_tokens",
        "_told_guests",
        "digests",
        "trials",
    )  # fmt: skip

    def __init__(self) -> None:
        self._by_name: dict[str, Consumer] = {}
        self.digests: dict[bytes, Consumer] = {}
        self._guests: OrderedDict[str, Consumer] = OrderedDict()
        self._anonymous = Consumer(ANONYMOUS, "")
        self._told_guests = 0  # that have counts of their own
        self._rest = Consumer(OTHERS, "")  # for its counts alone
        self._config: AccessConfig | None = None
        self._tokens: Prover | None = None
        self.trials = Trials()

    def alone(self) -> None:
        """Keeps to this router's part of all limits: they are shared with nobody."""
        for consumer in self.limited():
            consumer.alone()

    def limited(self) -> list[Consumer]:
        """Returns every consumer that has limits."""
        every = (*self._by_name.values(), *self._guests.values(), self._anonymous)
        return [one for one in every if one.is_limited]

    def take(self, config: AccessConfig, digests: Mapping[str, str], tokens: Prover | None = None) -> None:
        """Takes a configuration, and the names of consumers by the digests of their keys. Those that stay keep their counts."""
        routers = config.routers
        before, self._by_name = self._by_name, {}
        for told in config.consumers:
            if told.name == ANONYMOUS:
                continue
            known = self._forget(told.name)  # no name may be there twice: metrics would have the same label twice
            # One that is called as the metrics call the rest is counted with it, for the same reason.
            counts = self._rest.counts if told.name == OTHERS else None
            consumer = before.get(told.name) or known or Consumer(told.name, PAYER_PREFIX + told.name, counts)
            consumer.take(told.team or "", told.allowance, routers, by_token=bool(told.by_token))
            self._by_name[told.name] = consumer
        said = [told.allowance for told in config.consumers if told.name == ANONYMOUS]
        self._anonymous.take("", said[0] if said else config.defaults, routers)
        self.digests = {
            bytes.fromhex(digest): self._by_name[name] for digest, name in digests.items() if name in self._by_name
        }
        for guest in self._guests.values():
            guest.take(guest.team, config.defaults, routers, by_token=True)
        self._config = config
        self._tokens = tokens

    def delay(self, refused: ErrorAnswer, address: str, now: float) -> float | None:
        """Returns how many seconds somebody unknown waits for this error; None if too many of the address wait already.

        No key at all is no trial. What waits has to be taken back by `trials.answered`.
        """
        return 0.0 if refused is KEY_MISSING else self.trials.wrong(address, now)

    def told(self) -> list[Consumer]:
        """Returns every consumer that has counts of its own, for those who report of them."""
        rest, config = self._rest.counts, self._config
        guests = [guest for guest in self._guests.values() if guest.counts is not rest]
        found = [one for one in (*self._by_name.values(), *guests) if one.name != OTHERS]
        if config is not None and not config.required:
            found.append(self._anonymous)
        if len(guests) < len(self._guests) or OTHERS in self._by_name:
            found.append(self._rest)
        return found

    def who(self, headers: dict[bytes, bytes]) -> Consumer | ErrorAnswer:
        """Returns whose request this is by its headers, or the error that it gets."""
        shown, config, tokens = shown_keys(headers), self._config, self._tokens
        if not shown:
            return KEY_MISSING if config is None or config.required else self._anonymous
        refused = KEY_UNKNOWN
        for key in shown:
            found = self.digests.get(hashlib.sha256(key).digest())
            if found is not None:
                return found
            if tokens is not None and is_token(key):
                bearer = tokens.bearer(key)
                if isinstance(bearer, ErrorAnswer):
                    refused = bearer
                    continue
                return self._guest(bearer.name, bearer.team)
        return refused

    def _guest(self, name: str, team: str) -> Consumer | ErrorAnswer:
        """Returns the consumer that a token names."""
        known = self._by_name.get(name)
        if known is not None:
            return known if known.by_token else NAME_TAKEN
        guests, config = self._guests, self._config
        guest = guests.get(name)
        if guest is None:
            if name == ANONYMOUS or config is None:
                return NAME_TAKEN
            self._make_room()
            alone = name != OTHERS and self._told_guests < MOST_TOLD
            if alone:
                self._told_guests += 1
            guest = Consumer(name, PAYER_PREFIX + name, None if alone else self._rest.counts)
            guest.take(team, config.defaults, config.routers, by_token=True)
            guests[name] = guest
        else:
            guests.move_to_end(name)
            guest.belongs_to(team)
        return guest

    def _make_room(self) -> None:
        """Forgets whoever has asked for nothing for the longest time and has nothing in work, if there are too many."""
        while len(self._guests) >= MOST_GUESTS:
            idle = next((name for name, guest in self._guests.items() if not guest.places.in_work), None)
            if idle is None:
                return
            self._forget(idle)

    def _forget(self, name: str) -> Consumer | None:
        """Takes a consumer out that only tokens have named, if there is one."""
        guest = self._guests.pop(name, None)
        if guest is not None and guest.counts is not self._rest.counts:
            self._told_guests -= 1
        return guest
