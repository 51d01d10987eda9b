"""Sockets and framing: whole requests come out, whole answers go in."""
