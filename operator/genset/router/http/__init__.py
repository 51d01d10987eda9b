"""This room has the sockets and their framing: whole requests come out of it, and answers go into it."""
