"""Traces: the context that callers hand on (`context`, always), and spans of our own (`tracing`, where it is wanted)."""
