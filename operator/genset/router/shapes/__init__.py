"""Shapes are what requests look like: numbers, a task, a language and a time, by which routes choose their requests."""
