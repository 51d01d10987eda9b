"""Continuity is what a policy survives, reckoned before anything is lost."""
