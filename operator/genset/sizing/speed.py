"""Speed of one answer follows from how fast memory can be read: each token reads all weights that it uses.

Bandwidths are the vendors' data sheets; what a real server reaches of them is a rule of thumb, so speed is told as a
band.
"""

from __future__ import annotations

from collections.abc import Mapping

GB = 10**9
REACHED = 0.6  # of the data sheet's bandwidth
CORE_GBS = 8  # what one core reads, until the sockets are busy
SOCKET_GBS = 200  # what a server's memory gives in all
BANDS = (1, 5, 15, 50, 150)  # tokens per second; people read 5 to 10
_UNKNOWN: Mapping[str, int] = {"nvidia": 600, "amd": 1000, "intel": 400}  # GB/s

#: GB/s by a part of the product's name, as the vendors' labels have it. The first that occurs counts.
_PRODUCTS: tuple[tuple[str, int], ...] = (
    ("B300", 8000), ("B200", 8000), ("GH200", 4000), ("H200", 4800), ("H100-PCIE", 2000), ("H100", 3350), ("H20", 4000),
    ("A100", 1900), ("A30", 933), ("A40", 696), ("A10", 600), ("A16", 200), ("A2", 200), ("V100", 900), ("L40", 864),
    ("L4", 300), ("T4", 320), ("RTX-PRO-6000", 1792), ("6000-ADA", 960), ("A6000", 768), ("5090", 1792), ("5080", 960),
    ("4090", 1008), ("4080", 717), ("3090", 936), ("GB10", 273), ("MI355", 8000), ("MI325", 6000), ("MI300", 5300),
    ("MI250", 3200), ("MI210", 1600), ("W7900", 864), ("MAX-1550", 3200), ("MAX-1100", 1230), ("FLEX-170", 576),
    ("A770", 560), ("B580", 456), ("B60", 456),
)  # fmt: skip


def device_bandwidth(vendor: str, product: str) -> int:
    """Returns the bytes per second that one accelerator reads."""
    name = product.upper().replace(" ", "-").replace("_", "-")
    return next((speed for part, speed in _PRODUCTS if part in name), _UNKNOWN.get(vendor, 400)) * GB


def host_bandwidth(cores: float) -> int:
    """Returns the bytes per second that so many cores read; part of one reads as long as it runs."""
    return int(min(max(0.25, cores) * CORE_GBS, SOCKET_GBS) * GB)


def tokens_per_second(device_bytes: int, device_rate: int, host_bytes: int, host_rate: int) -> float:
    """Returns the tokens per second of one sequence that reads so many bytes for each."""
    seconds = device_bytes / (device_rate * REACHED) + host_bytes / (host_rate * REACHED)
    return 1 / seconds if seconds else 0.0


def band(tokens: float) -> str:
    """Returns the band of a speed, e.g. "15-50"."""
    below = [bound for bound in BANDS if bound <= tokens]
    if not below:
        return f"<{BANDS[0]}"
    above = [bound for bound in BANDS if bound > tokens]
    return f"{below[-1]}-{above[0]}" if above else f">{BANDS[-1]}"
