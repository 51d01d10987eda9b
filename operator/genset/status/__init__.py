"""Status: observed objects -> conditions and status fields. Pure; small checks in chains."""
