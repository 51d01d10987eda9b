"""Tasks that only wait look after endpoints, outages and suspicions."""
