"""Programs that stand in front of routers, and what they must be told."""
