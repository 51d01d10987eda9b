"""The two resources as types: the source of the CRDs, of the reference pages and of every default."""
