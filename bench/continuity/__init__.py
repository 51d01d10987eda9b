"""The benchmark of continuity takes away the first of two places that answer, and watches what clients get."""
