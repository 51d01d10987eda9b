"""What probes and lost requests teach about a backend of the house: which pods are asked, and when it comes back."""

from __future__ import annotations

from genset.router.backends.backend import Backend
from genset.router.backends.breaker import State
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.outcomes import Outcome
from genset.router.machine.decisions import Try
from tests.support.router.machines import fail, house, machine


def test_one_ill_pod_does_not_open_the_backend() -> None:
    backend = house(pods=2)
    ill = backend.endpoints[0]
    for _ in range(20):
        backend.failed(ill, fail(Outcome.UNREACHABLE), 0.0, 0.0, False)
    assert ill.breaker.state is State.OPEN and backend.breaker.state is State.CLOSED
    assert {backend.pool.pick(0.0) for _ in range(4)} == {backend.endpoints[1]}


def pod(backend: Backend, number: int) -> Endpoint:
    return backend.endpoints[number]


def test_probes_take_a_backend_out_and_bring_it_back() -> None:
    backend = house(pods=1)
    backend.probed(pod(backend, 0), False, 1.0)
    assert backend.admits(1.0), "one bad probe is no verdict"
    backend.probed(pod(backend, 0), False, 2.0)
    assert not backend.admits(2.0) and backend.why_not(2.0) == "no_healthy_endpoint"
    for second in range(3, 13):
        backend.probed(pod(backend, 0), True, float(second))
        assert not backend.admits(second), "back before 10 healthy seconds"
    backend.probed(pod(backend, 0), True, 13.0)
    assert backend.admits(13.0)


def test_late_probes_of_a_busy_server_are_forgiven() -> None:
    backend = house(pods=1)
    backend.succeeded(pod(backend, 0), 5.0, 4.0, False, "/x")
    for second in (6, 8, 10, 12, 14):
        backend.probed(pod(backend, 0), False, float(second), late=True)
    assert backend.admits(14.0)
    for second in (16, 18, 20):
        backend.probed(pod(backend, 0), False, float(second), late=True)
    assert not backend.admits(20.0)


def test_a_refusal_ends_by_itself_where_health_probes_exist() -> None:
    backend = house(pods=1)
    one = machine(backend)
    one.begin(0.0)
    one.failed(0.0, fail(Outcome.MODEL_NOT_FOUND))
    for second in range(1, 301):
        backend.probed(pod(backend, 0), True, float(second))
        assert isinstance(machine(backend).begin(float(second)), Try) is (second >= 300), second
