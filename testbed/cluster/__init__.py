"""This package runs a real one-node Kubernetes cluster in one folder, on any Debian or Ubuntu machine, without Docker."""
