"""The size of objects: what has many attributes is several things, and who sets them from outside owns them, too.

Both tables are exact, so that they cannot grow unseen, and become shorter when somebody tidies up.
"""

from __future__ import annotations

from tests.support.source import attributes_with_bases, classes, set_from_outside

MOST = 14  # about a dozen

#: Classes with more, and why.
LARGE = {
    "Record": (24, "one flat object of what is known of a request; whoever reads it reads most of it"),
    "Route": (17, "a configuration's values, read once and never set again"),
    "AdminConnection": (15, "one connection, its parser and its times"),
    "_Partial": (15, "one download, which resumes from any of them"),
}
#: The operator's and the router's counters are named one by one where they are shown.
COUNTERS = {"Metrics"}

#: How often a room sets an attribute of another room's objects. Each place wants a method of the object instead.
FROM_OUTSIDE = {
    "handlers": {"args": 1},
    "router.process": {"reload_failures": 1, "reloads": 1},
    "router.telemetry": {"prompt_tokens": 1, "tokens": 1, "trace": 1},
    "runtime": {"may_write": 1},
}


def test_no_class_grows_beyond_a_dozen_attributes_unseen() -> None:
    found = {}
    for one in classes():
        count = len(attributes_with_bases(one))
        if count > MOST and one.name not in COUNTERS:
            found[one.name] = count
    assert found == {name: count for name, (count, _) in LARGE.items()}


def test_nobody_sets_what_belongs_to_another_room() -> None:
    assert set_from_outside() == FROM_OUTSIDE
