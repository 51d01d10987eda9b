"""`genset` is one command with one module per verb.

Verbs import what they need when they run, so that each starts fast.
"""

from __future__ import annotations

import importlib

import click

import genset

_VERBS = {
    "status": "Show models, routes and what needs somebody, on one screen.",
    "operator": "Reconcile ModelDeployments and RoutePolicies in a cluster.",
    "router": "Serve a RoutePolicy: an OpenAI API that fails over.",
    "weights": "Fetch, verify and place model weights (runs in engine pods).",
    "adapters": "Keep a running server's adapters as a list says (runs in engine pods).",
    "console": "Serve pages for people: fleet, routes, continuity, cost, data.",
    "doctor": "Look at an installation, and say what to do.",
    "plan": "Say what fits which node, and print the resource to apply.",
    "explain": "Say which backends a router would ask for a request, and why not others.",
    "top": "Show what routers do now, by backend.",
    "chat": "Talk to a model, and see who answered.",
    "logs": "Say what became of a request, by its id, or of the latest ones.",
    "coverage": "Say what each route survives, before anything is lost.",
    "drill": "Run drills, list what they showed, export and check their evidence.",
    "bundle": "Bring a site without a way out everything in one file.",
    "ledger": "Keep what routers have written down, and look after it.",
    "usage": "Say what was used, by whom, where, and what it cost.",
    "breakeven": "Say at which use the house is cheaper than the cloud.",
    "egress": "Say what left the house, as routers wrote it down.",
    "key": "Make, list and revoke keys of a RoutePolicy's consumers.",
    "crds": "Print the CustomResourceDefinitions.",
    "completion": "Print a shell completion script.",
}


class _Verbs(click.Group):
    """This group loads `genset.cli.<verb>` only when the verb runs: the router never imports the operator's libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(f"genset.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_VERBS.items()))


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(genset.__version__, prog_name="genset")
def main() -> None:
    """Models in the house, a cloud behind them, and a router that keeps the work going when either fails."""
