"""Quantities with a forgotten or mistaken unit, and what they are told; those that are small or large and meant."""

from __future__ import annotations

from tests.crds.cases.case import HTTP, MDEP, RP, Case, cached, house, policy


def _memory(value: object) -> dict[str, object]:
    return house(resources={"memory": value})


def _cpu(value: object) -> dict[str, object]:
    return house(resources={"cpu": value})


def _router(**resources: object) -> dict[str, object]:
    return policy(router={"resources": resources, "limits": {"maxBody": "1Mi"}})


def _body(value: object) -> dict[str, object]:
    return policy(router={"limits": {"maxBody": value}})


def _cache_ram(value: object) -> dict[str, object]:
    return house(llamaCpp={"cacheRAM": value})


def _bound(value: object) -> dict[str, object]:
    return {"source": {"http": HTTP, "maxSize": value}}


BOUNDS_OF_MODELS = [
    Case("memory without its unit", MDEP, _memory(6), "resources.memory 6 is less than 16Mi: did you mean 6Gi?"),
    Case("memory without its unit, as text", MDEP, _memory("512"),
         "resources.memory 512 is less than 16Mi: did you mean 512Mi?"),
    Case("memory in thousandths of a byte", MDEP, _memory("512m"),
         "resources.memory 512m is less than a byte: did you mean 512Mi?"),
    Case("memory of a thousandth", MDEP, _memory("1m"), "resources.memory 1m is less than a byte: did you mean 1Gi?"),
    Case("memory in thousands", MDEP, _memory("4096k"), "resources.memory 4096k is less than 16Mi: did you mean 4096Mi?"),
    Case("memory with a fraction", MDEP, _memory("1.5"), "resources.memory 1.5 is less than 16Mi: did you mean 1.5Gi?"),
    Case("no memory", MDEP, _memory("0"), "resources.memory 0 is less than a byte: write 16Mi or more"),
    Case("hardly any memory", MDEP, _memory("15Mi"), "resources.memory 15Mi is less than 16Mi: write 16Mi or more"),
    Case("memory in powers of ten", MDEP, _memory("1e3"), "resources.memory 1e3 is less than 16Mi: write 16Mi or more"),
    Case("memory of a fraction alone", MDEP, _memory(".5"), "resources.memory .5 is less than a byte: did you mean .5Gi?"),
    Case("memory with a dot at its end", MDEP, _memory("5."), "resources.memory 5. is less than 16Mi: did you mean 5.Gi?"),
    Case("memory of a fraction too small in any unit", MDEP, _memory("0.001"),
         "resources.memory 0.001 is less than a byte: write 16Mi or more"),
    Case("more memory than there is", MDEP, _memory("1E30")),
    Case("any memory", MDEP, _memory(0), "resources.memory"),
    Case("little memory", MDEP, _memory("16Mi")),
    Case("a cache without its unit", MDEP, cached(size=20), "cache.size 20 is less than 1Mi: did you mean 20Gi?"),
    Case("a cache in thousandths", MDEP, cached(size="500m"), "cache.size 500m is less than a byte: did you mean 500Gi?"),
    Case("a cache without room", MDEP, cached(size="0"), "cache.size"),
    Case("a bound of downloads", MDEP, _bound("20Gi")),
    Case("a bound of downloads without its unit", MDEP, _bound(20), "source.maxSize 20 is less than 1Mi: did you mean 20Gi?"),
    Case("a bound of downloads in thousandths", MDEP, _bound("500m"),
         "source.maxSize 500m is less than a byte: did you mean 500Gi?"),
    Case("no downloads at all", MDEP, _bound("0"), "source.maxSize"),
    Case("a bound of what is not downloaded", MDEP, {"source": {"pvc": {"claimName": "w", "path": "a.gguf"}, "maxSize": "1Gi"}},
         "source.maxSize is for downloads; a pvc or hostPath source is read where it lies: remove it"),
    Case("a small cache", MDEP, cached(size="1Mi")),
    Case("kept prompts without their unit", MDEP, _cache_ram(8), "llamaCpp.cacheRAM 8 is less than 1Mi: did you mean 8Gi?"),
    Case("kept prompts in thousandths", MDEP, _cache_ram("512m"),
         "llamaCpp.cacheRAM 512m is less than a byte: did you mean 512Mi?"),
    Case("few kept prompts", MDEP, _cache_ram("1k"), "llamaCpp.cacheRAM"),
    Case("no kept prompts", MDEP, _cache_ram(0)),
    Case("cores in thousandths, without their m", MDEP, _cpu(500),
         "resources.cpu 500 is a number of whole cores: did you mean 500m?"),
    Case("more cores in thousandths", MDEP, _cpu("2000"), "resources.cpu 2000 is a number of whole cores: did you mean 2000m?"),
    Case("more cores than there are", MDEP, _cpu("2k"), "resources.cpu 2k is more than 1024 cores, which no machine has"),
    Case("cores without end", MDEP, _cpu("1E30"), "resources.cpu 1E30 is more than 1024 cores, which no machine has"),
    Case("cores in powers of ten", MDEP, _cpu("1e3")),
    Case("a fraction of a core", MDEP, _cpu(".5")),
    Case("no cores", MDEP, _cpu("0"), "resources.cpu 0 is less than 1m, a thousandth of a core: write 500m"),
    Case("hardly any core", MDEP, _cpu("100u"), "resources.cpu"),
    Case("a few hundredths of a core", MDEP, _cpu("10m")),
    Case("many cores", MDEP, _cpu(384)),
    Case("very many cores", MDEP, _cpu("768000m")),
]  # fmt: skip

BOUNDS_OF_ROUTERS = [
    Case("bodies without their unit", RP, _body(32), "router.limits.maxBody 32 is less than 1Ki: did you mean 32Mi?"),
    Case("bodies in thousandths", RP, _body("32m"), "router.limits.maxBody 32m is less than a byte: did you mean 32Mi?"),
    Case("bodies of nothing", RP, _body(0), "router.limits.maxBody"),
    Case("bodies of a few words", RP, _body("1Ki")),
    Case("a router's memory without its unit", RP, _router(memory="256"),
         "router.resources.memory 256 is less than 16Mi: did you mean 256Mi?"),
    Case("a router's memory in whole gibibytes, without their unit", RP, _router(memory=1),
         "router.resources.memory 1 is less than 16Mi: did you mean 1Gi?"),
    Case("a router without memory", RP, _router(memory=0), "router.resources.memory"),
    Case("a router's cores without their m", RP, _router(cpu=500),
         "router.resources.cpu 500 is a number of whole cores: did you mean 500m?"),
    Case("a router without cores", RP, _router(cpu=0), "router.resources.cpu"),
]  # fmt: skip
