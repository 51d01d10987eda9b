"""This room holds the pure heart of the router: it decides what to do next with a request, whatever happens to it."""
