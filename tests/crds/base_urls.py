"""What people paste into a base URL, and what they are told behind the name of the field: with the types, CEL and the router."""

from __future__ import annotations

NO_SERVER = "names no server: write https://HOST:PORT/PATH, where HOST is a name, an IPv4 address or an IPv6 address in"
#: What people write into a base URL, and what they are told behind the field's name.
BASE_URLS = {
    "without a scheme": ("api.corp/v1", "begins with https:// or http://: write https://HOST/v1, say"),
    "of another scheme": ("ftp://api.corp/v1", "begins with https:// or http://"),
    "with a password": ("https://me:hunter2@api.corp/v1", "takes no user and no password: the key belongs into a Secret"),
    "with a query": ("https://api.corp/v1?tenant=a", "takes no query (?...): leave it out"),
    "with a fragment": ("https://api.corp/v1#x", "takes no fragment (#...), no blank, and no letter beyond ASCII"),
    "with a blank behind it": ("https://api.corp/v1 ", "takes no fragment (#...), no blank"),
    "with a line's end": ("https://api.corp/v1\n", "takes no fragment (#...), no blank"),
    "with a letter of no URL": ("https://api.corp/b\u00fccher/v1", "takes no fragment (#...), no blank, and no letter beyond"),
    "with the path of a call and a password": (
        "https://me:hunter2@api.corp/v1/models", "takes no user and no password: the key belongs into a Secret"),
    "with the path of some call": ("https://me@api.corp/v1/models", "ends in the path of an API call, which each"),
    "at no port": ("https://api.corp:70000/v1", NO_SERVER),
}  # fmt: skip
#: The same where the words say what to write for the very URL.
BETTER_BASE_URLS = {
    "of Azure with its query": (
        "https://corp.openai.azure.com/openai/deployments/x/chat/completions?api-version=2024-10-21",
        "takes no query (?...): leave it out; Azure OpenAI needs no api-version at https://corp.openai.azure.com/openai/v1",
    ),
    **{
        f"that ends in {path}": (
            f"https://gw.corp/models/v1{path}",
            "ends in the path of an API call, which each request brings along: write https://gw.corp/models/v1",
        )
        for path in ("/chat/completions", "/completions", "/embeddings/", "/models", "/responses", "/messages")
    },
}
