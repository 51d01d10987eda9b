"""The state of each backend and of its endpoints."""
