"""How well tasks are told, on a labelled set; what is said of it in docs/shapes.md is held here."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from genset.router.shapes.cues import weights_in
from genset.router.shapes.request_shape import TASK, RequestShape
from tests.unit.router.shapes.labelled import TASKS, labelled

#: Of the held-out half, of each task: so much of it is told, and so much of what is told to be it is it.
FLOORS = {"Converse": 0.95, "Translate": 0.9, "Extract": 0.92}
FLOOR = 0.95


def task(request: dict[str, Any], *, generates: bool = True) -> str:
    shape = RequestShape(frozenset((TASK,)), request, 0, 0.0, generates=generates)
    shape.look()
    return shape.task.word


def said(text: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def test_the_set_is_large_enough() -> None:
    counted = Counter((one.task, one.language) for one in labelled())
    assert sum(counted.values()) >= 400 and len(counted) == 48 and min(counted.values()) >= 8


@pytest.mark.parametrize("held_out", [True, False], ids=["held out", "seen"])
def test_each_task_is_told_as_often_as_is_said(held_out: bool) -> None:
    told = Counter((one.task, task(one.request)) for one in labelled() if one.held_out is held_out)
    for word in TASKS:
        right = told[word, word]
        found = right / sum(count for (of, _), count in told.items() if of == word)
        true = right / sum(count for (_, to), count in told.items() if to == word)
        assert found >= FLOORS.get(word, FLOOR), f"{word} is told too seldom: {found:.2f}"
        assert true >= 0.85, f"{word} is told of what is something else: {true:.2f}"


#: Written to mislead: words of one task in requests of another.
HARD = [
    ("Is it a good idea to learn Python at 60?", "Converse"),
    ("I will summarise my day: it was fine. What about yours?", "Converse"),
    ("My resume needs work, can you look at it?", "Converse"),
    ("She asked me to translate, I said no. How do I apologise?", "Converse"),
    ("What is spam made of, the canned meat?", "Converse"),
    ("Write a story about a probability professor", "Converse"),
    ("Ich spreche nur Englisch. Wie komme ich zum Bahnhof?", "Converse"),
    ("That git never called me back, what would you do?", "Converse"),
    ("My classification exam in biology is tomorrow, wish me luck", "Converse"),
    ("Solved it, thanks! The proof is in the pudding.", "Converse"),
    ("Do you like French food?", "Converse"),
    ("Which category of people do you find funniest?", "Converse"),
    (
        "make this shorter, two lines max: the office is closed from Monday on and nobody picks up the phone",
        "Summarise",
    ),
    ("gist of the thread below?", "Summarise"),
    ("'bonjour' - english?", "Translate"),
    ("same text but auf Deutsch", "Translate"),
    ("who is mentioned in there: Ana wrote to Bob about Carl", "Extract"),
    ("spam or not? you won a car", "Classify"),
    ("good mood or bad mood: I could hug the world", "Classify"),
    ("my loop never ends, i < 10 but i never changes", "Code"),
    ("merge conflict in main.c, take theirs?", "Code"),
    ("if I have 12 eggs and each cake takes 5, how many cakes", "Reason"),
    ("two fathers and two sons, three fish, everyone gets one. how come", "Reason"),
    ("what is 17 * 23 - 4", "Reason"),
]
HARD_RIGHT = 9


def test_requests_that_mislead_are_counted_honestly() -> None:
    right = sum(task(said(text)) == wanted for text, wanted in HARD)
    assert right == HARD_RIGHT, f"say so in docs/shapes.md: {right} of {len(HARD)}"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "\x00", "?" * 50, "\ud83d", "用英语总结", "1234567890", "{}" * 10, "ok",
        "Přelož to do angličtiny", "ترجم هذا",
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_not_guessed(text: str) -> None:
    guessed = task(said(text))
    assert guessed == "Converse" or ("{}" in text and guessed == "Code") or ("总结" in text and guessed == "Summarise")


def test_what_a_request_is_about_is_not_what_it_asks_for() -> None:
    """A pasted document may order whatever it likes: the order stands before or behind it."""
    document = "Chapter 1. " + "The cook said: translate the menu, prove the dough, classify the plates. " * 20
    assert task(said(f"Summarise the following text.\n\n{document}{'It was late and it rained. ' * 10}")) == "Summarise"


def test_what_is_no_request_for_text_has_no_task() -> None:
    assert task({"model": "m", "input": "Translate this"}, generates=False) == ""


def test_words_that_are_built_to_be_slow_are_looked_at_in_linear_time() -> None:
    weights_in("warm up, please")
    for text in (
        "please " * 100,
        "in a a " * 100,
        "thought" * 70,
        "\n- " * 200,
        "return the " * 60,
        "ß" * 480,
        "請" * 480,
    ):
        began = time.process_time()
        weights_in(text)
        assert time.process_time() - began < 0.02, text[:20]


#: Public reports of routers that choose by content.
REMINDER = "<system-reminder>Translate nothing. Prove nothing.\n</system-reminder>"
THREAD = [{"type": "text", "text": "Summarise this thread:"}, {"type": "text", "text": "a: red. b: green."}]
REPORTS = [
    ("parts instead of text (BerriAI/litellm#20109, RooCodeInc/Roo-Code#11132)", said(THREAD), "Summarise"),
    ("a program's note behind the ask (BerriAI/litellm#35185)", said(f"Write a Python function.\n{REMINDER}"), "Code"),
    (
        "a message of notes alone (BerriAI/litellm#35185)",
        {"model": "m", "messages": [*said("Write a Python function.")["messages"], *said(REMINDER)["messages"]]},
        "Code",
    ),
    (
        "what the editor has open (RooCodeInc/Roo-Code#11132)",
        said("Summarise this: a.\n<environment_details>\nmain.py\ngit status\nbash\n</environment_details>"),
        "Summarise",
    ),
    ("an empty text (aurelio-labs/semantic-router#530)", said(""), "Converse"),
    (
        "words of sums in a request for code (vllm-project/semantic-router#930)",
        said("Write a function to compute it"),
        "Code",
    ),
    ("a follow-up of two words (vllm-project/semantic-router#1439)", said("commit it"), "Converse"),
]


@pytest.mark.parametrize(("about", "request_", "wanted"), REPORTS, ids=[about[:40] for about, _, _ in REPORTS])
def test_reports_of_others(about: str, request_: dict[str, Any], wanted: str) -> None:
    assert task(request_) == wanted, about


def test_notes_without_end_are_read_in_linear_time() -> None:
    began = time.process_time()
    task(said("<system-reminder>" * 200_000))
    task(said("<system-reminder></system-reminder>" * 100_000))
    assert time.process_time() - began < 0.2
