"""One file for each step. `tables` says what they lead to; a test compares the two."""
