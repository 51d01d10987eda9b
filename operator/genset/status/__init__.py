"""Status goes from observed objects to conditions and status fields. Pure; small checks in chains."""
