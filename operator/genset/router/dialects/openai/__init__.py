"""OpenAI's format is what nearly every model server speaks, and the router itself."""
