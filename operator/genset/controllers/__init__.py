"""Here are the work queue, the resync, and one reconcile function per kind."""
