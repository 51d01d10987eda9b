"""This room holds tasks that only wait: they look after endpoints, outages and suspicions."""
