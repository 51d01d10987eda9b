"""`genset explain` says what a router would decide about a request: who asks, which route, which backends, and why not others.

It takes the router's own decision, of a table made from the same files, without a cluster and without asking anybody. What only a
running router knows (who is well, what a consumer has used) is not in it. Secrets that the files lack are assumed to be good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import time
from typing import Any

from genset.api.routepolicy import RoutePolicy
from genset.contracts.access_config import AllowanceConfig
from genset.contracts.router_config import RouterConfig
from genset.desired import router_config
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.secrets import EVERY_HOST, UserSecret
from genset.engines import managed_engine_of
from genset.explain_budgets import Paid, paid
from genset.router.access.consumer import Consumer
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials
from genset.router.dialects.client import RefusedRequest
from genset.router.dialects.clients import CLIENT_PATHS
from genset.router.dialects.openai.api import PATHS, Api
from genset.router.errors import ConfigRejected, ErrorAnswer
from genset.router.exchange.decision import decide
from genset.router.exchange.record import Record
from genset.router.routing.table import LeftOut, Table, answer_tokens, estimate_tokens
from genset.router.shapes.request_shape import LANGUAGE, READABLE, TASK, RequestShape
from genset.router.shapes.schema_size import MANY
from genset.standalone import Documents, add, chosen, placed_at, read_documents
from genset.status.refs import policy_secret_uses
from genset.status.warnings import used_backends

_ASSUMED = b"gs-assumed-by-genset-explain"  # in place of keys that the files do not hold
_NOWHERE = "http://127.0.0.1:9"  # where nobody is asked


@dataclass(frozen=True)
class Preference:
    """A preference is a backend in the order in which it would be asked; tiers count from 0."""

    backend: str
    tier: int
    kind: str  # local: a model of the house; cloud


@dataclass(frozen=True)
class Explanation:
    """An explanation is what would become of one request. `status` is 200 if somebody would be asked."""

    consumer: str
    team: str
    limits: Mapping[str, int]
    model: str
    needs: Mapping[str, Any]
    shape: Mapping[str, Any]  # what the request looks like: everything that a route could read
    route: str
    candidates: list[Preference]
    left_out: list[LeftOut]
    budgets: Mapping[str, str] = field(default_factory=dict)  # that hold it: what becomes of it once they are spent
    status: int = 200
    error: str = ""
    message: str = ""
    notes: list[str] = field(default_factory=list)

    def to_document(self) -> dict[str, Any]:
        return {**asdict(self), "left_out": [one._asdict() for one in self.left_out]}


@dataclass(frozen=True)
class Question:
    """A question is a request, as a client would send it. `consumer`: whose key it shows; "": none. `spent`: budgets that are."""

    body: dict[str, Any]
    path: str = "/v1/chat/completions"
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    consumer: str = ""
    spent: tuple[str, ...] = ()
    at: float | None = None  # when it comes, in seconds since 1970; None: now


def explain(files: list[Path], policy: str | None, question: Question) -> Explanation:
    """Explains one request. Raises ConfigRejected for files that no router would serve, and for a question that is none."""
    documents = Documents()
    for path in files:
        for place, document in read_documents(path):
            add(documents, path, place, document)
    _, resource = chosen(documents, policy, files)
    context = _context(documents, resource)
    config = router_config.build(resource, context)
    credentials = Credentials(router_config.credential_files(resource, context), "the files")
    table = Table(config, {b.name: Backend(b, credentials, _first) for b in config.backends}, "")
    asked, chat = _read(question)
    missing = sorted(used_backends(resource) - {backend.name for backend in config.backends})
    notes = [f"backend {name} is left out: its Secret or its deployment cannot be used" for name in missing]
    return _explained(config, table, question, asked, chat, notes)


def _explained(
    config: RouterConfig, table: Table, question: Question, asked: Api, chat: dict[str, Any], notes: list[str]
) -> Explanation:
    consumer, refused = _consumer(config, question.consumer)
    model = question.body.get("model")
    if model is None and asked is Api.MODERATIONS:
        found = table.moderating(consumer.models if consumer is not None else None)
        model, refused = (found, refused) if isinstance(found, str) else ("none", refused or found)
    if not isinstance(model, str) or not model:
        raise ConfigRejected("the request: it must be a JSON object with a model name in `model`")
    tokens, answer = estimate_tokens(chat), answer_tokens(chat)
    left_out: list[LeftOut] = []
    record = Record(b"", "", dict(question.headers), asked.asked, asked.operation, model, 0.0, stream=False)
    record.asked_by(consumer)
    at = time() if question.at is None else question.at
    needs = (tokens, answer, asked.task)
    plan = refused or decide(table, record, chat, needs, _first, left_out=left_out, now=lambda: at)
    left = Paid([]) if isinstance(plan, ErrorAnswer) else paid(config, plan, consumer, tokens, chat, question.spent)
    failed, candidates = plan if isinstance(plan, ErrorAnswer) else left.refused, left.candidates
    return Explanation(
        consumer=consumer.name if consumer is not None else "",
        team=consumer.team if consumer is not None else "",
        limits=_limits(config, consumer),
        model=model,
        needs={"task": asked.task, "promptTokens": tokens, "answerTokens": answer},
        shape=_shape(chat, tokens, at, generates=asked in (Api.CHAT, Api.COMPLETIONS)),
        route="" if isinstance(plan, ErrorAnswer) else plan.route.name,
        candidates=[Preference(c.backend.name, c.tier, c.backend.config.kind) for c in candidates],
        left_out=[*left_out, *left.left_out],
        budgets=left.budgets,
        status=failed.status if failed is not None else 200,
        error=failed.kind.word if failed is not None else "",
        message=failed.message if failed is not None else "",
        notes=notes,
    )


def _shape(chat: dict[str, Any], tokens: int, at: float, *, generates: bool) -> dict[str, Any]:
    shape = RequestShape(frozenset(READABLE), chat, tokens, at, generates=generates)
    found: dict[str, Any] = {name: value if value < MANY else None for name, value in shape.look().items()}
    found[LANGUAGE] = shape.language
    found[TASK], found["taskWhy"] = shape.task
    return found


def _first() -> float:
    """Takes the place of chance: equal weights keep the order in which they are written."""
    return 0.5


def _context(documents: Documents, resource: RoutePolicy) -> RoutePolicyContext:
    deployments = {name: found for name, (_, found) in documents.deployments.items()}
    for backend in resource.spec.backends:
        name = backend.deployment.name if backend.deployment is not None else ""
        if name and (name not in deployments or managed_engine_of(deployments[name]) is not None):
            deployments[name] = placed_at(name, _NOWHERE, deployments.get(name), resource)
    settings = Settings(image="none", pod_template="Full")
    context = RoutePolicyContext(settings, deployments, documents.secrets, listed=documents.secrets, from_files=True)
    secrets = dict(documents.secrets)
    for use in policy_secret_uses(resource, deployments, settings):
        found = secrets.get(use.ref.name) or UserSecret({}, EVERY_HOST, holds_keys=True)
        secrets[use.ref.name] = replace(found, data={use.ref.key: _ASSUMED, **found.data})
    return replace(context, secrets=secrets)


def _read(question: Question) -> tuple[Api, dict[str, Any]]:
    """Returns which API is asked, and the request in OpenAI's form."""
    path = question.path.encode()
    api, spoken = PATHS.get(path), CLIENT_PATHS.get(path)
    if api is not None:
        return api, question.body
    if spoken is None:
        served = ", ".join(sorted(known.decode() for known in (*PATHS, *CLIENT_PATHS)))
        raise ConfigRejected(f"--path {question.path}: no call of a model is served there; served are {served}")
    try:
        chat = spoken.dialect.counted(question.body) if spoken.counts else spoken.dialect.request(question.body, 0.0)[0]
    except RefusedRequest as refused:
        raise ConfigRejected(f"the request: {refused}") from refused
    return Api.CHAT, chat


def _consumer(config: RouterConfig, name: str) -> tuple[Consumer | None, ErrorAnswer | None]:
    """Returns the consumer of this name, as a router would have it, or the error for a request without a key."""
    from genset.router.access.consumers import ANONYMOUS, KEY_MISSING

    access = config.access
    if access is None:
        if name:
            raise ConfigRejected(f"--key-of {name}: the policy has no access, and knows no consumers; leave it out")
        return None, None
    if not name and access.required:
        return None, KEY_MISSING
    said = {one.name: one for one in access.consumers}
    known = said.get(name or ANONYMOUS)
    if known is None and name and access.jwt is None:
        raise ConfigRejected(f"--key-of {name}: no such consumer; the policy has {', '.join(sorted(said)) or 'none'}")
    consumer = Consumer(name or ANONYMOUS, "")
    consumer.take(known.team or "" if known else "", known.allowance if known else access.defaults, access.routers)
    return consumer, None


def _limits(config: RouterConfig, consumer: Consumer | None) -> dict[str, int]:
    access = config.access
    if consumer is None or access is None:
        return {}
    said = {one.name: one.allowance for one in access.consumers}
    allowance: AllowanceConfig = said.get(consumer.name, access.defaults)
    told = allowance.model_dump(by_alias=True, exclude_none=True)
    return {name: value for name, value in told.items() if name != "models"}
