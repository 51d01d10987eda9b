"""Translates the tools of a Responses request into functions, and remembers what each of them was. Pure.

A tool that takes free text becomes a function with one text; one in a namespace gets the namespace into its name. Tools that
run at OpenAI are left out if they are only offered: Codex offers a search with each request, and as a function without a name it
makes servers refuse all of it (https://github.com/anomalyco/opencode/issues/40210). If one is demanded, nobody could answer.
"""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.dialects.client import RefusedRequest

FUNCTION: Final = "function"
CUSTOM: Final = "custom"
NAMESPACE: Final = "namespace"
ALLOWED: Final = "allowed_tools"
INPUT: Final = "input"  # the only argument of a function that stands for a tool with free text
_JOINT: Final = "__"  # between a namespace and a name
UNSUPPORTED: Final = "caller_unsupported_parameter"


@final
class Tools:
    """These are the tools of one request. `functions` are those that the backend gets, `dropped` those that are left out."""

    __slots__ = ("_custom", "_spaces", "dropped", "functions")

    def __init__(self) -> None:
        self.functions: list[dict[str, Any]] = []
        self.dropped: list[str] = []
        self._custom: set[str] = set()
        self._spaces: dict[str, tuple[str, str]] = {}  # name of the function -> namespace, and the name in it

    def read(self, given: Any) -> None:
        """Takes the tools of a request. Raises RefusedRequest."""
        if given is None:
            return
        if not isinstance(given, list):
            raise RefusedRequest("tools", "tools is no list; send a list of tools")
        for number, tool in enumerate(given):
            self._tool(tool, f"tools[{number}]")

    def is_custom(self, name: str) -> bool:
        """Returns whether a function stands for a tool that takes free text."""
        return name in self._custom

    def names_of(self, function: str) -> tuple[str, str]:
        """Returns the namespace ("" for none) and the name that the client knows a function by."""
        return self._spaces.get(function, ("", function))

    def function_of(self, name: str, namespace: Any) -> str:
        """Returns the name of the function that stands for a client's tool."""
        return f"{namespace}{_JOINT}{name}" if isinstance(namespace, str) and namespace else name

    def _tool(self, tool: Any, place: str) -> None:
        if not isinstance(tool, dict):
            raise RefusedRequest(place, f"{place} is no object; send a tool with its type")
        kind = tool.get("type")
        if kind == FUNCTION:
            self._function(tool, place, "")
        elif kind == CUSTOM:
            self._free(tool, place)
        elif kind == NAMESPACE:
            self._namespace(tool, place)
        else:
            self.dropped.append(f"{place}:{kind}")

    def _function(self, tool: dict[str, Any], place: str, namespace: str) -> None:
        name = _name_of(tool, place)
        parameters = tool.get("parameters")
        function: dict[str, Any] = {
            "name": self.function_of(name, namespace),
            "parameters": parameters if isinstance(parameters, dict) else {"type": "object", "properties": {}},
        }
        for key in ("description", "strict"):
            if tool.get(key) is not None:
                function[key] = tool[key]
        if namespace:
            self._spaces[function["name"]] = (namespace, name)
        self.functions.append({"type": FUNCTION, "function": function})

    def _free(self, tool: dict[str, Any], place: str) -> None:
        name, form = _name_of(tool, place), tool.get("format")
        told = [str(tool.get("description") or "")]
        if isinstance(form, dict) and form.get("type") == "grammar":
            told.append(f"The text follows this {form.get('syntax')} grammar:\n{form.get('definition')}")
        text = {"type": "string", "description": "The whole input of the tool, as text."}
        parameters = {"type": "object", "properties": {INPUT: text}, "required": [INPUT], "additionalProperties": False}
        function = {"name": name, "description": "\n\n".join(part for part in told if part), "parameters": parameters}
        self._custom.add(name)
        self.functions.append({"type": FUNCTION, "function": function})

    def _namespace(self, tool: dict[str, Any], place: str) -> None:
        namespace, tools = _name_of(tool, place), tool.get("tools")
        for number, inner in enumerate(tools if isinstance(tools, list) else ()):
            here = f"{place}.tools[{number}]"
            if isinstance(inner, dict) and inner.get("type") == FUNCTION:
                self._function(inner, here, namespace)
            else:
                self.dropped.append(here)

    # Which of them is used

    def choice(self, given: Any) -> Any:
        """Returns the tool choice of a chat request; None for none. Takes away tools that are not allowed."""
        if given is None or isinstance(given, str):
            if given not in (None, "auto", "none", "required"):
                raise RefusedRequest(
                    "tool_choice", "tool_choice is not auto, none or required, nor an object; use one of these"
                )
            if given == "required" and not self.functions:
                raise RefusedRequest("tool_choice", _nobody("tool_choice: required", self.dropped), UNSUPPORTED)
            return given if self.functions else None
        if not isinstance(given, dict):
            raise RefusedRequest("tool_choice", "tool_choice is neither a word nor an object; send one of these")
        kind, name = given.get("type"), given.get("name")
        if kind == ALLOWED:
            return self._allow(given)
        if kind in (FUNCTION, CUSTOM) and isinstance(name, str):
            return {"type": FUNCTION, "function": {"name": self.function_of(name, given.get("namespace"))}}
        raise RefusedRequest("tool_choice", _nobody(f"tool_choice: {str(kind)[:64]}", [str(kind)[:64]]), UNSUPPORTED)

    def _allow(self, given: dict[str, Any]) -> Any:
        listed, mode = given.get("tools"), given.get("mode")
        names = {
            self.function_of(str(tool.get("name")), tool.get("namespace"))
            for tool in (listed if isinstance(listed, list) else ())
            if isinstance(tool, dict)
        }
        self.functions = [tool for tool in self.functions if tool["function"]["name"] in names]
        if mode == "required" and not self.functions:
            raise RefusedRequest("tool_choice.tools", _nobody("tool_choice: allowed_tools", self.dropped), UNSUPPORTED)
        return ("required" if mode == "required" else "auto") if self.functions else None


def _name_of(tool: dict[str, Any], place: str) -> str:
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise RefusedRequest(f"{place}.name", f"{place}.name is missing; name the tool")
    return name


def _nobody(demand: str, tools: list[str]) -> str:
    named = ", ".join(tools) or "no tool"
    return f"{demand} demands a tool that runs at OpenAI ({named}), which no backend of this router offers; send a function"
