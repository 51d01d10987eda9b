"""The two resources are types here: the source of the CRDs, of the reference pages and of every default."""
