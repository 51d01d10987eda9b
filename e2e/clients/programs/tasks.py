"""Runs the tasks that are named on the command line with one client, and prints what each met, a line of JSON for each.

A task is HOW:MODEL. A client gives a function for each way to ask; it gets the model, and returns what the user would read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

WISH = "Please use the tool"
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
URL = sys.argv[1] if len(sys.argv) > 1 else ""


def weather(city: str) -> str:
    return f"It is sunny in {city}."


def run(**client: Callable[[str], Any]) -> None:
    for task in sys.argv[2:]:
        how, model = task.split(":")
        told: dict[str, Any] = {"task": task}
        if how not in client:
            told["absent"] = True
        else:
            try:
                told["text"] = client[how](model)
            except Exception as error:
                status = getattr(error, "status_code", None)
                told |= {"error": type(error).__name__, "status": status, "message": str(error)}
        print(json.dumps(told), flush=True)
