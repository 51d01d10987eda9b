"""Models for tests and the demo, made here rather than downloaded."""
