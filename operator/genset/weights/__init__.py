"""The weights puller runs in engine pods; it has one file per kind of source."""
