"""A router's process puts all the other rooms together; nothing imports it."""
