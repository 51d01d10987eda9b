"""What the two resources accept and refuse: one table, checked against a real API server and against the types.

A case is the spec of a resource. `refused` is what a user reads when the API server says no (part of its message);
`types` is what `genset router -f` says for the same document, where the words differ. `old` makes it an update.
"""

from __future__ import annotations

from tests.crds.cases import model_deployments
from tests.crds.cases.access import ACCESS
from tests.crds.cases.backends import BACKENDS
from tests.crds.cases.budgets import BUDGETS
from tests.crds.cases.case import HTTP, MDEP, RP, Case, gateway, house, identify, policy
from tests.crds.cases.policies import POLICIES
from tests.crds.cases.router import ROUTER
from tests.crds.cases.routes import ROUTES
from tests.crds.cases.shapes import SHAPES
from tests.crds.cases.sources import SOURCES

MODEL_DEPLOYMENTS = [*model_deployments.MODEL_DEPLOYMENTS, *SOURCES]
ROUTE_POLICIES = [*POLICIES, *BACKENDS, *ROUTES, *ROUTER, *ACCESS, *BUDGETS, *SHAPES]
CASES = MODEL_DEPLOYMENTS + ROUTE_POLICIES

__all__ = [
    "CASES",
    "HTTP",
    "MDEP",
    "MODEL_DEPLOYMENTS",
    "ROUTE_POLICIES",
    "RP",
    "Case",
    "gateway",
    "house",
    "identify",
    "policy",
]
