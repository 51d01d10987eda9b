"""Groq refuses log probabilities, several answers, `logit_bias`, names and thoughts in messages.

498 means that its flexible capacity is used up, and 413 with code rate_limit_exceeded that one request is larger than the tokens
of a minute. Sources: console.groq.com/docs/openai and /errors, read on 28 Nov 2026; thoughts: agentjido/req_llm#772,
janhq/jan#8136, read on 30 Nov 2026.
"""

from genset.router.providers.base import Provider
from genset.router.providers.fields import Fields

PROVIDER: Provider = Provider(
    name="groq",
    telemetry_name="groq",
    base_url="https://api.groq.com/openai/v1",
    rename={"max_tokens": "max_completion_tokens"},
    fields=Fields(
        dropped=frozenset({"logit_bias"}),
        limited={"n": (1,), "logprobs": (False,), "top_logprobs": (0,)},
        names=False,
        thoughts=False,
    ),
)
