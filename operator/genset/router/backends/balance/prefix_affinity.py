"""This strategy sends prompts that begin alike to the same endpoint, whose prompt cache then holds their beginning.

Rendezvous hashing (Thaler and Ravishankar 1998): every endpoint gets a weight from the prompt's key and its own name,
and the heaviest is the favourite. An endpoint that comes or goes moves only its own prompts, and all routers agree
without communicating. Bounded load (Mirrokni, Thorup and Zadimoghaddam 2016): an endpoint with more than `LOAD_FACTOR`
times the average in flight is skipped for the next by weight, so that one popular beginning does not overload one
endpoint.
"""

from __future__ import annotations

from collections.abc import Sequence

from genset.router.backends.balance.base import E, Strategy, Tally, least_loaded

_QUARTERS = 5  # the load factor 1.25 in quarters: whole numbers, so that the bound is exact
LOAD_FACTOR = _QUARTERS / 4

_MASK = (1 << 64) - 1


def choose(endpoints: Sequence[E], turn: int, key: int | None, tally: Tally) -> E:
    """Returns the heaviest endpoint within its bound; the least loaded one if there is no prompt."""
    if key is None:
        return least_loaded(endpoints, turn)
    bound = most_in_flight(endpoints)
    favourite = chosen = None
    heaviest = heaviest_within = -1
    for endpoint in endpoints:
        heavy = weight(key, endpoint.seed)
        if heavy > heaviest:
            heaviest = heavy
            favourite = endpoint
        if heavy > heaviest_within and endpoint.in_flight < bound:
            heaviest_within = heavy
            chosen = endpoint
    if chosen is favourite:
        tally.affinity_hits += 1
    else:
        tally.affinity_misses += 1
    return endpoints[0] if chosen is None else chosen  # never None: not all can be above the average


def most_in_flight(endpoints: Sequence[E]) -> int:
    """Returns how many requests an endpoint may have in flight, counting the one to be placed."""
    total = 1 + sum([endpoint.in_flight for endpoint in endpoints])
    return -(-_QUARTERS * total // (4 * len(endpoints)))


def weight(key: int, seed: int) -> int:
    """Returns 64 bits that are practically independent for different keys and seeds.

    Two rounds of multiply and fold with the constants of splitmix64 (Steele, Lea and Flood 2014): a CRC alone is
    linear, and would rank the endpoints alike for all prompts. This costs a fifth of a BLAKE2 per endpoint.
    """
    mixed = (key ^ seed) * 0xBF58476D1CE4E5B9 & _MASK
    return (mixed ^ mixed >> 32) * 0x94D049BB133111EB & _MASK


STRATEGY = Strategy(choose, reads_prompt=True)
