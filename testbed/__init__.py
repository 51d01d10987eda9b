"""These libraries are shared by tests, end-to-end scenarios, the demo and benchmarks; their tests are in tests/testbed."""
