"""Drills: a second view of the backends, with breakers of its own, in which a fault is injected at the connection."""
