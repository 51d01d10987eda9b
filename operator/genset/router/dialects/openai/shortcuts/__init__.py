"""Faster ways through streams whose events are alike."""
