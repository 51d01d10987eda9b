"""Sizing is pure arithmetic about models: file headers, weights, caches, what fits where."""
