"""Content that may not leave the house is found by the router itself: no text of a request goes anywhere for it.

`texts` says what of a request is looked at, `normal` brings it into one form, `kinds` names what can be looked for, one file
for each, and `detector` looks. Every regular expression runs in linear time (RE2). Pure.
"""
