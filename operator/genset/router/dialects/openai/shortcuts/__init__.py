"""Shortcuts read without a parse what is like an earlier answer (`frame`) or like an earlier event of its own (`template`)."""
