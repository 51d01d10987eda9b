"""`genset egress` reads back what routers have written down of requests that left the house."""
