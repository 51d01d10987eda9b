"""`genset plan` says what fits which node, before anything is downloaded or applied."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click


@click.command()
@click.option(
    "-f", "--file", "file", type=click.Path(path_type=Path), help="YAML with ModelDeployments; - reads stdin."
)
@click.option(
    "--model",
    help="OWNER/NAME of a hub, with :QUANTISATION or :GLOB for one file and @REVISION; or a GGUF file or folder.",
)
@click.option(
    "--nodes",
    type=click.Path(path_type=Path),
    help="Output of `kubectl get nodes -o yaml`, or a list of {name, cpu, memory, accelerator}; - reads stdin.",
)
@click.option("--context", "kube_context", help="Context of the kubeconfig, whose nodes are read with what is free.")
@click.option("--tokens", type=click.IntRange(256, 10_485_760), help="Tokens of one request. Default: 4096, or FILE's.")
@click.option("--parallel", type=click.IntRange(1, 256), help="Requests at once. Default: 4, or FILE's.")
@click.option("--cache-type", help="Type of the context's cache: f16, q8_0, q4_0 … Default: f16, or FILE's.")
@click.option("--endpoint", envvar="HF_ENDPOINT", show_envvar=True, help="Base URL of a hub or mirror.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True,
    help="table; json, everything as values; yaml, the resources alone, to be applied.",
)  # fmt: skip
def command(
    file: Path | None,
    model: str | None,
    nodes: Path | None,
    kube_context: str | None,
    tokens: int | None,
    parallel: int | None,
    cache_type: str | None,
    endpoint: str | None,
    output: str,
) -> None:
    """Say what fits which node: memory, context, speed, and the resource to apply.

    Only the headers of the model's files are read. A token for gated models is taken from HF_TOKEN.

    \b
    Examples:
      genset plan --model Qwen/Qwen3-8B-GGUF:Q4_K_M --tokens 16384 --nodes nodes.yaml
      kubectl get nodes -o yaml | genset plan --model ggml-org/gpt-oss-20b-GGUF --nodes -
      genset plan -f manifests/samples/ --context my-cluster
      genset plan --model models/phi-4-Q4_K_M.gguf -o yaml | kubectl apply -f -
    """
    from genset.planning import answer, sources
    from genset.planning.errors import PlanError
    from genset.planning.where import Where

    if (file is None) == (model is None):
        raise click.UsageError("give either -f FILE or --model REPO")
    if nodes is not None and kube_context is not None:
        raise click.UsageError("give either --nodes FILE or --context NAME")
    changes = sources.Changes(tokens, parallel, cache_type)
    try:
        where = Where(endpoint or "", os.environ.get("HF_TOKEN", ""))
        wanted = sources.from_file(file, where) if file is not None else [sources.from_model(str(model), where)]
        known = answer.nodes(nodes, kube_context)
        plans = [answer.make(one, changes, known) for one in wanted]
    except PlanError as error:
        raise click.ClickException(str(error)) from error
    _print(plans, output)
    if not all(plan.best for plan in plans):
        sys.exit(2)  # fits nowhere


def _print(plans: Iterable[object], output: str) -> None:
    import yaml

    from genset.cli.crds import Dumper
    from genset.planning import plan as planning
    from genset.planning import table

    every: list[planning.ModelPlan] = list(plans)  # type: ignore[arg-type]
    if output == "json":
        click.echo(json.dumps([planning.as_dict(one) for one in every], indent=2, ensure_ascii=False))
        return
    documents = [
        yaml.dump(one.resource, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True)
        for one in every
        if one.resource
    ]
    if output == "yaml":
        click.echo("---\n".join(documents), nl=False)
        return
    for one in every:
        click.echo(table.render(one))
        if one.best is None:
            click.echo("\nIt fits none of these nodes.")
        elif one.resource is None:
            click.echo("\nThis genset has no engine that serves it.")
        else:
            click.echo(f"\nTo apply, for {one.best.node.name if one.best else ''}:\n")
            click.echo(yaml.dump(one.resource, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True))
