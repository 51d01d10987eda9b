"""Container images are made without Docker, as OCI archives in the user's cache, keyed by what they are made of."""

from __future__ import annotations

from testbed.images.catalogue import FAKE_VLLM, IMAGES, LLAMA_CPP, LWS, PAUSE, Image, host_llama_server
from testbed.images.genset import LAST_REFERENCE as LAST_GENSET
from testbed.images.genset import REFERENCE as GENSET

__all__ = ["FAKE_VLLM", "GENSET", "IMAGES", "LAST_GENSET", "LLAMA_CPP", "LWS", "PAUSE", "Image", "host_llama_server"]
