"""This room says who asks: consumers, the keys that prove who they are, and what each may have."""
