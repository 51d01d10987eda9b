"""Keys of consumers as `genset key` makes, shows and revokes them."""

from __future__ import annotations

import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from genset import consumer_keys as keys
from genset.cli import main
from genset.desired.access import good_keys, keys_fault


def test_a_made_key_is_taken_as_it_is_printed() -> None:
    done = CliRunner().invoke(main, ["key", "create", "invoices", "-n", "models", "--comment", "of the batch job"])
    assert done.exit_code == 0, done.output
    made = yaml.safe_load(done.output)
    content = made["stringData"]["invoices"].encode()
    (key,) = good_keys(content)
    assert key.startswith(b"gs-") and len(key) > 40 and keys_fault(content) == ""
    assert made["metadata"] == {
        "name": "invoices-keys", "namespace": "models", "labels": {"genset.dev/consumer": "true"},
    }  # fmt: skip
    assert content.startswith(b"# of the batch job\n")


def test_no_two_keys_are_alike() -> None:
    assert len({keys.new_key() for _ in range(100)}) == 100


def test_a_name_that_no_consumer_can_have_is_refused() -> None:
    done = CliRunner().invoke(main, ["key", "create", "My Consumer"])
    assert done.exit_code == 2 and "of a-z, 0-9 and -" in done.output


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=5))
def test_what_was_added_is_listed_and_what_is_revoked_is_gone(comments: list[str]) -> None:
    content, made = b"", []
    for comment in comments:
        made.append(keys.new_key())
        content = keys.added(content, made[-1], comment)
    assert good_keys(content) == [key.encode() for key in made] and keys_fault(content) == ""
    shown = keys.listed("team", {"invoices": content})
    assert [one.id for one in shown] == [keys.id_of(key.encode()) for key in made]
    assert not any(key[3:] in repr(shown) for key in made), "a list shows a key"
    left = keys.without(content, shown[0].id)
    assert left is not None and good_keys(left) == [key.encode() for key in made[1:]]
    assert [one.comment for one in keys.listed("team", {"invoices": left})] == [one.comment for one in shown[1:]]
    assert keys.without(left, shown[0].id) is None


def test_a_key_without_a_comment_is_not_known_by_that_of_another() -> None:
    content = keys.added(keys.added(b"", "gs-" + "a" * 30, "first"), "gs-" + "b" * 30, "")
    assert [one.comment for one in keys.listed("team", {"x": content})] == ["first", ""]
    left = keys.without(content, keys.id_of(b"gs-" + b"b" * 30))
    assert left is not None and b"# first" in left
