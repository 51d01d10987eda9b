"""This room makes a process of all the other rooms; nothing imports it."""
