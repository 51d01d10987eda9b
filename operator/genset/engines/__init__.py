"""Engines: what each model server wants on its command line, and how one knows that it is well. Pure."""
