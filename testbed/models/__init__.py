"""Models for tests and the demo are made here rather than downloaded."""
