"""Desired state: (resource, context) -> Kubernetes objects as dicts. Pure; one file per family of objects."""
