"""This room holds the state of each backend and of its endpoints."""
