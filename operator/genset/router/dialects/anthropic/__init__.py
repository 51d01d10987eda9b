"""This folder holds Anthropic's Messages API: `backend_*` asks servers that speak it, `client_*` answers clients that do."""
