"""This package is the only code that talks to the API server."""
