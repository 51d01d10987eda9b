"""Others see what a person should know of a ModelDeployment that serves all the same: each makes a verdict of it here."""

from __future__ import annotations

from collections.abc import Mapping

from genset.api.modeldeployment import Reason
from genset.contracts.adapter_list import AdapterReport
from genset.status.conditions import Verdict

_SHOWN = 3  # adapters whose trouble is told in full


def of_site(why: str) -> tuple[Verdict, ...]:
    """Tells why a download does not get the hub token of the operator, which it asks for; nothing if `why` is empty."""
    words = f"The operator's hub token is not used, because {why}"
    return (Verdict("True", Reason.SITE_TOKEN_NOT_USED, words),) if why else ()


def of_adapters(reports: Mapping[str, AdapterReport]) -> tuple[Verdict, ...]:
    """Tells which adapters running servers do not load, with their own words. `reports`: by pod, of those that answered.

    Replicas that say the same are told once; the order is that of the names, so that a status at rest stays as it is.
    """
    words: dict[str, str] = {}
    pods: dict[str, list[str]] = {}
    for pod in sorted(reports):
        for name, reason in reports[pod].refused.items():
            words.setdefault(name, reason)
            pods.setdefault(name, []).append(pod)
    if not words:
        return ()
    shown = [_told(name, words, pods, len(reports)) for name in sorted(words)[:_SHOWN]]
    more = f"; and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    told = (
        f"Adapters that running servers do not load, so that their names are not served: {'; '.join(shown)}{more}; correct their "
        "sources, or what spec says of adapters (vllm.adapterRank)"
    )
    return (Verdict("True", Reason.ADAPTER_REFUSED, told),)


def _told(name: str, words: Mapping[str, str], pods: Mapping[str, list[str]], answered: int) -> str:
    where = "" if len(pods[name]) == answered else f" in pod {pods[name][0]}"
    return f"{name}{where}: {words[name]}"
