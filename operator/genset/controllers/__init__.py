"""Work queue, resync and one reconcile function per kind."""
