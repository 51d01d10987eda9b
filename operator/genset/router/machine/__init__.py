"""The pure heart: what to do next with a request, after everything that can happen to it."""
