"""Services of a ModelDeployment: one address for clients, and one headless Service for routers.

Routers balance, probe and drain by endpoint, so they resolve the headless Service to the ready replicas themselves;
the other one is for the operator's completion and for whoever is let in.
"""

from __future__ import annotations

from genset import names
from genset.api.modeldeployment import ModelDeployment
from genset.desired import metadata
from genset.engines.base import Object


def services(resource: ModelDeployment) -> list[Object]:
    """The Service of the model, and the headless one."""
    name = resource.metadata.name
    selector = metadata.engine_selector(name)
    return [
        metadata.engine_child(
            resource,
            "v1",
            "Service",
            name,
            spec={"type": "ClusterIP", "selector": selector, "ports": [_port(names.SERVICE_PORT)]},
        ),
        metadata.engine_child(
            resource,
            "v1",
            "Service",
            metadata.endpoints_service(name),
            spec={
                "type": "ClusterIP",
                "clusterIP": "None",
                "selector": selector,
                "ports": [_port(names.ENGINE_PORT)],
            },
        ),
    ]


def _port(port: int) -> Object:
    return {"name": names.ENGINE_PORT_NAME, "port": port, "protocol": "TCP", "targetPort": names.ENGINE_PORT_NAME}
