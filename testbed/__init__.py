"""Libraries that tests, end-to-end scenarios, the demo and the benchmarks share; their own tests are in tests/testbed."""
