"""This room holds what requests leave behind: metrics, a line of the access log, and traces."""
