"""Contracts are what two of our programs say to each other: one type for each document, with the way to its bytes and
back.

Writer and reader import the same type, and nothing here imports either of them. They may be of different releases; what
holds then is docs/adr/0012.
"""
