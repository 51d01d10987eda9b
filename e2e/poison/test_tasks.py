"""Pictures, vectors and orders of documents, each by a real llama-server behind a router."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from e2e.vllm.engines import EngineProcess, llama_server
from testbed.cluster.processes import Daemons
from testbed.models import seeing
from testbed.router import RunningRouter, config, house


def policy(engine: EngineProcess, **more: Any) -> dict[str, Any]:
    return config(house(engine.base_url + "/v1", **more), models=["counting"])


@pytest.fixture(scope="module")
def seer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    model, projector = seeing.cached()
    with llama_server(Daemons(tmp_path_factory.mktemp("seer")), "--mmproj", projector, model=model).running() as engine:
        yield engine


@pytest.mark.parametrize("colour", list(seeing.COLOURS))
async def test_a_picture_is_answered_to_clients_of_every_api(seer: EngineProcess, tmp_path: Path, colour: str) -> None:
    png, said = base64.b64encode(seeing.picture(colour)).decode(), seeing.SAID[colour]
    url = f"data:image/png;base64,{png}"
    async with RunningRouter(tmp_path, policy(seer, capabilities={"vision": True})) as router:
        base_url = router.url + "/v1"
        async with openai.AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
            parts: Any = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": url}}]
            asked: Any = {"model": "counting", "max_tokens": 2, "temperature": 0}
            chat = await client.chat.completions.create(messages=[{"role": "user", "content": parts}], **asked)
            plain = await client.chat.completions.create(messages=[{"role": "user", "content": "hi"}], **asked)
            items: Any = [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": url}]
            response = await client.responses.create(
                model="counting", input=[{"role": "user", "content": items}], max_output_tokens=2, temperature=0
            )
        async with anthropic.AsyncAnthropic(base_url=router.url, api_key="any", max_retries=0) as other:
            source = {"type": "base64", "media_type": "image/png", "data": png}
            blocks: Any = [{"type": "image", "source": source}, {"type": "text", "text": "hi"}]
            message = await other.messages.create(
                model="counting",
                max_tokens=2,
                messages=[{"role": "user", "content": blocks}],
                extra_body={"temperature": 0.0},
            )
    assert plain.choices[0].message.content == " 0000 0001"
    assert (chat.choices[0].message.content or "").startswith(said)
    assert response.output_text.startswith(said)
    assert message.content[0].to_dict()["text"].startswith(said)


async def test_a_server_says_itself_that_it_sees(seer: EngineProcess, tmp_path: Path) -> None:
    """What a llama-server with a projector tells at /props is enough: no `capabilities`."""
    url = f"data:image/png;base64,{base64.b64encode(seeing.picture('green')).decode()}"
    parts: Any = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": url}}]
    asked: Any = {"model": "counting", "max_tokens": 2, "temperature": 0}
    async with (
        RunningRouter(tmp_path, policy(seer, url={"healthPath": "/health"})) as router,
        openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="any", max_retries=0) as client,
    ):
        chat = await client.chat.completions.create(messages=[{"role": "user", "content": parts}], **asked)
        listed = (await client.models.list()).data[0].to_dict()
    assert (chat.choices[0].message.content or "").startswith(seeing.SAID["green"])
    told: Any = listed["capabilities"]
    assert told["vision"] is True and told["audio"] is False


async def test_vectors_of_texts(tmp_path: Path) -> None:
    with llama_server(Daemons(tmp_path), "--embedding", "--pooling", "mean").running() as engine:
        async with (
            RunningRouter(tmp_path, policy(engine, task="Embeddings")) as router,
            httpx.AsyncClient(base_url=router.url, timeout=60, trust_env=False) as http,
        ):
            answer = await http.post("/v1/embeddings", json={"model": "counting", "input": ["one", "two", "one"]})
            chat = await http.post("/v1/chat/completions", json={"model": "counting", "messages": []})
    one, two, again = (entry["embedding"] for entry in answer.json()["data"])
    assert one == again != two and len(one) == len(two) > 1000
    assert chat.status_code == 404, "a server of vectors was asked for a chat"


async def test_documents_in_their_order(tmp_path: Path) -> None:
    with llama_server(Daemons(tmp_path), "--rerank").running() as engine:
        async with (
            RunningRouter(tmp_path, policy(engine, task="Rerank")) as router,
            httpx.AsyncClient(base_url=router.url, timeout=60, trust_env=False) as http,
        ):
            body = {"model": "counting", "query": "one", "documents": ["one", "two", "three"]}
            answer = await http.post("/v1/rerank", json=body)
    assert sorted(entry["index"] for entry in answer.json()["results"]) == [0, 1, 2]
