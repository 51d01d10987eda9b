"""The weights puller that runs in engine pods: one file per kind of source."""
