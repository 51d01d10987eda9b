"""The format that OpenAI, and nearly every model server, speaks; the router's own, too."""
