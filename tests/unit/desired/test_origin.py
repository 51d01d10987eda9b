"""What the API server says of a child is told with the resource's own fields."""

from __future__ import annotations

import pytest

from genset import names
from genset.desired.origin import in_words_of

POD = {
    "containers": [{"name": "engine", "env": [{"name": "A"}, {"name": "B=C"}], "ports": [{"containerPort": 80}]}],
    "topologySpreadConstraints": [{"topologyKey": "kubernetes.io/hostname"}, {"topologyKey": "zone"}],
    "tolerations": [{"operator": "Exists"}, {"key": "gpu"}],
}
DEPLOYMENT = {"kind": "Deployment", "spec": {"template": {"spec": POD}}}
SERVICE = {"kind": "Service", "spec": {"ports": [{"port": 80, "nodePort": 80}]}}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("containers[0].env[1].name: Invalid", "containers[engine].env[B=C].name: Invalid"),
        ("topologySpreadConstraints[1].maxSkew: Invalid", "topologySpreadConstraints[zone].maxSkew: Invalid"),
        ("tolerations[0].operator: Unsupported", "tolerations[0].operator: Unsupported"),
        ("tolerations[1].effect: Unsupported", "tolerations[gpu].effect: Unsupported"),
        ("containers[7].image: Required", "containers[7].image: Required"),
        ("nodeSelector: Invalid", "nodeSelector: Invalid"),
        ("unheard[0].of[1]: Invalid", "unheard[0].of[1]: Invalid"),
    ],
)
def test_an_element_of_a_list_is_named_by_its_key(said: str, told: str) -> None:
    found = in_words_of(names.MODEL_DEPLOYMENT, DEPLOYMENT, f"spec.template.spec.{said}")
    assert found == f"spec.podTemplate.spec.{told}"


def test_an_element_without_a_key_keeps_its_place() -> None:
    found = in_words_of(names.ROUTE_POLICY, SERVICE, "spec.ports[0].nodePort: Invalid value: 80")
    assert found == "spec.router.service.ports[0].nodePort: Invalid value: 80"
