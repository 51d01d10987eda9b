"""HTTP/1.1 on uvloop and httptools: protocol callbacks in, writes out. Every rule lies in the pure modules above."""
