"""The worked example of docs/adr/0010-engines.md, added to a copy of the package as the page has it, works everywhere.

A second process reads the copy: in this one an engine more would be an engine more for every other test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genset.api.engines import FIELDS
from genset.engines import MANAGED

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "adr" / "0010-engines.md"

#: Prints what the tests look at, as JSON.
PROBE = """
import json

from pydantic import ValidationError

from genset.api.crd import definitions
from genset.api.modeldeployment import ModelDeployment
from genset.cli.operator import command
from genset.desired import model_deployment
from genset.desired.context import ModelDeploymentContext, Settings
from genset.status.refs import check_model_deployment
from tools import generated

SOURCE = {"pvc": {"claimName": "models", "path": "small.gguf"}}


def resource(**spec):
    return ModelDeployment.model_validate({"metadata": {"name": "small"}, "spec": {"engine": "tinyserve", **spec}})


def refusal(**spec):
    try:
        resource(**spec)
    except ValidationError as error:
        return [item["msg"] for item in error.errors()]
    return []


def context(*arguments):
    given = command.make_context("operator", ["--image=genset:test", *arguments]).params
    return ModelDeploymentContext(Settings("genset:test", engine_images=given["engine_images"], allowed_images=("mine:*",)))


def problems(spec, *arguments):
    found = check_model_deployment(resource(source=SOURCE, **spec), context(*arguments))
    return [[problem.reason, problem.field, problem.message] for problem in found]


def container(spec, *arguments):
    children = model_deployment(resource(source=SOURCE, **spec), context(*arguments))
    (deployment,) = [child for child in children if child["kind"] == "Deployment"]
    return deployment["spec"]["template"]["spec"]["containers"][0]


INTEL = {"resources": {"accelerator": {"vendor": "intel"}}}
OWN = "--engine-image=tinyserve/intel=own:1"
(definition,) = [one for one in definitions().values() if one["spec"]["names"]["kind"] == "ModelDeployment"]
(schema,) = generated.chart().values()
print(json.dumps({
    "crd": definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"],
    "default": resource(source=SOURCE, tinyserve={}).spec.tinyserve.batch,
    "refusals": {
        "accepted": refusal(source=SOURCE, tinyserve={"batch": 2}),
        "no source": refusal(),
        "another engine's": refusal(source=SOURCE, llamaCpp={}),
        "of another engine": refusal(engine="llama.cpp", source=SOURCE, tinyserve={}),
        "two accelerators": refusal(source=SOURCE, resources={"accelerator": {"count": 2}}),
        "out of bounds": refusal(source=SOURCE, tinyserve={"batch": 65}),
    },
    "problems": {
        "none": problems({}),
        "batch": problems({"tinyserve": {"batch": 5}}),
        "no image": problems(INTEL),
        "an image of the operator's": problems(INTEL, OWN),
        "an image of its own": problems({**INTEL, "tinyserve": {"image": "mine:2"}}),
    },
    "container": container({"tinyserve": {"batch": 2}, "context": {"tokens": 512, "parallel": 3}}),
    "images": [container(INTEL, OWN)["image"], container({**INTEL, "tinyserve": {"image": "mine:2"}}, OWN)["image"]],
    "chart": json.loads(schema)["properties"]["engines"]["propertyNames"]["enum"],
}))
"""


def blocks(language: str) -> dict[str, str]:
    """Path -> content of the page's code blocks that begin with a path."""
    found = re.findall(rf"```{language}\n# (operator/\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return dict(found)


def insert(text: str, change: str) -> str:
    """Each line with a + follows, in the text, the line that it follows in the change."""
    before = ""
    for line in change.splitlines(keepends=True):
        if line.startswith("+"):
            assert text.count(before) == 1, f"the page's {before!r} is not what the registry holds"
            text = text.replace(before, before + line[1:])
        before = line[1:]
    return text


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    copy = tmp_path_factory.mktemp("example")
    shutil.copytree(ROOT / "operator" / "genset", copy / "operator" / "genset", ignore=shutil.ignore_patterns("*.pyc"))
    for path, text in blocks("python").items():
        assert not (copy / path).exists()
        (copy / path).write_text(text)
    for path, change in blocks("diff").items():
        (copy / path).write_text(insert((copy / path).read_text(), change))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(copy / "operator"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=copy, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_page_adds_two_files_and_changes_two() -> None:
    assert list(blocks("python")) == [
        "operator/genset/api/engines/tinyserve.py",
        "operator/genset/engines/tinyserve.py",
    ]
    assert list(blocks("diff")) == ["operator/genset/api/engines/__init__.py", "operator/genset/engines/__init__.py"]


def test_the_api_server_knows_it(seen: Any) -> None:
    engine, block = seen["crd"]["properties"]["engine"], seen["crd"]["properties"]["tinyserve"]
    first, *others = FIELDS
    assert engine["enum"] == [first, "tinyserve", *others] and engine["default"] == first
    assert engine["description"].startswith("Model server: llama.cpp, tinyserve, ")
    assert engine["description"].endswith(", or external for one that runs elsewhere.")
    assert block["properties"]["batch"] == {
        "type": "integer", "description": "Requests that share one step of the model.", "minimum": 1, "maximum": 64,
        "format": "int32", "default": 4,
    }  # fmt: skip
    assert "image" in block["properties"]
    told = {rule["rule"]: rule["message"] for rule in seen["crd"]["x-kubernetes-validations"]}
    assert told["!has(self.tinyserve) || self.engine == 'tinyserve'"] == "tinyserve settings need engine tinyserve"
    managed = ["llama.cpp", "tinyserve", *list(MANAGED)[1:]]
    assert f"!(self.engine in {managed}) || has(self.source)" in told
    assert any("tinyserve uses one accelerator" in message for message in told.values())


def test_the_types_give_defaults_and_refuse(seen: Any) -> None:
    assert seen["default"] == 4
    assert seen["refusals"] == {
        "accepted": [],
        "no source": ["Value error, an engine that genset runs needs source"],
        "another engine's": ["Value error, llamaCpp settings need engine llama.cpp"],
        "of another engine": ["Value error, tinyserve settings need engine tinyserve"],
        "two accelerators": [
            "Value error, engine tinyserve uses one accelerator: set resources.accelerator.count to 1, and replicas for "
            "more"
        ],
        "out of bounds": ["Input should be less than or equal to 64"],
    }


def test_a_condition_says_what_no_schema_can(seen: Any) -> None:
    assert seen["problems"] == {
        "none": [],
        "batch": [
            [
                "InvalidSpec",
                "spec.tinyserve.batch",
                "spec.tinyserve.batch (5) is more than spec.context.parallel (4): lower it, or raise the other",
            ]
        ],
        "no image": [
            [
                "InvalidSpec",
                "spec.tinyserve.image",
                "engine tinyserve has no image for intel: name one in spec.tinyserve.image, have the operator run with "
                "--engine-image tinyserve/intel=IMAGE, or use cpu or nvidia",
            ]
        ],
        "an image of the operator's": [],
        "an image of its own": [],
    }


def test_its_pods_run(seen: Any) -> None:
    container = seen["container"]
    assert container["image"] == "registry.example/tinyserve:1.4"
    assert container["args"] == [
        "--weights", "/models/small.gguf", "--name", "small", "--listen", "0.0.0.0:8080", "--context", "512",
        "--requests", "3", "--batch", "2",
    ]  # fmt: skip
    assert {"name": "TINYSERVE_TELEMETRY", "value": "off"} in container["env"]
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in container["env"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}


def test_the_operator_and_the_chart_take_images_for_it(seen: Any) -> None:
    assert seen["images"] == ["own:1", "mine:2"]
    assert seen["chart"] == ["llama.cpp", "tinyserve", *list(MANAGED)[1:]]
