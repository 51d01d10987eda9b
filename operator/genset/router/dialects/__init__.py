"""Dialects are wire formats, with one folder for each."""
