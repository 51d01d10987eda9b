"""The data plane: a program of its own that knows nothing of Kubernetes and keeps serving without it."""
