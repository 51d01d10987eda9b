"""Models on several nodes, by the real controller of LeaderWorkerSets: `make e2e-groups`."""
