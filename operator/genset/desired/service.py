"""A ModelDeployment has two Services: one address for clients, and a headless one for routers.

Routers balance, probe and drain by endpoint, so they resolve the headless Service to the ready replicas themselves;
the other one is for the operator's completion and for whoever is let in.
"""

from __future__ import annotations

from genset import kinds, names
from genset.api.modeldeployment import ModelDeployment
from genset.desired import metadata, workload
from genset.desired.context import ModelDeploymentContext
from genset.engines.base import Object


def of_model(resource: ModelDeployment, _: ModelDeploymentContext) -> Object:
    """Makes the Service that clients dial."""
    return _service(resource, resource.metadata.name, names.SERVICE_PORT)


def endpoints(resource: ModelDeployment, context: ModelDeploymentContext) -> Object:
    """Makes the headless Service, whose name resolves to the replicas that are ready. It bears the record of the pods."""
    name = metadata.endpoints_service(resource.metadata.name)
    made = _service(resource, name, names.ENGINE_PORT, clusterIP="None")
    return metadata.annotated(made, workload.record(resource, context))


def _service(resource: ModelDeployment, name: str, port: int, **more: str) -> Object:
    return metadata.engine_child(
        resource,
        kinds.SERVICE,
        name,
        spec={
            "type": "ClusterIP",
            **more,
            "selector": metadata.engine_selector(resource.metadata.name),
            "ports": [_port(port)],
        },
    )


def _port(port: int) -> Object:
    return {"name": names.ENGINE_PORT_NAME, "port": port, "protocol": "TCP", "targetPort": names.ENGINE_PORT_NAME}
