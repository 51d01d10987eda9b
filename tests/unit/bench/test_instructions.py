"""callgrind's files are read as the valgrind manual says: names once in full, and the cost of callees apart."""

from __future__ import annotations

from bench.instructions import count

DUMP = """\
version: 1
creator: callgrind-3.19.0
positions: line
events: Ir
summary: 1000

ob=(1) /usr/bin/python3
fl=(1) ???
fn=(7) inner
0 300
+2 40

fn=(8) outer
0 60
cob=(2) /lib/libc.so.6
cfi=(2) ???
cfn=(9) memcpy
calls=3 0
0 500
cfn=(7)
calls=2 0
* 340

fn=(9)
-4 500
totals: 1000
"""


def test_each_function_has_its_own_instructions_and_those_of_its_callees() -> None:
    found = count(DUMP.splitlines(), requests=10)
    assert found.alone == {"inner": 340, "outer": 60, "memcpy": 500}
    assert found.inclusive == {"inner": 340, "outer": 900, "memcpy": 500}
    assert found.each == 90


def test_the_table_begins_with_what_takes_most() -> None:
    lines = count(DUMP.splitlines(), requests=10).table(most=2).splitlines()
    assert [line.split() for line in lines] == [["90", "6", "outer"], ["50", "50", "memcpy"]]


def test_no_request_is_no_division_by_zero() -> None:
    assert count([], requests=0).each == 0


def test_lines_of_code_fetched_are_those_of_the_functions_themselves() -> None:
    own = ["events: Ir Dr Dw I1mr D1mr", "fn=(1) inner", "0 300 9 9 4", "+2 40"]
    callee = ["cfn=(2) other", "calls=2 0", "* 90 5 5 70", "fn=(2)", "0 90 5 5 70 1"]
    assert count([*own, *callee], requests=2).misses == 74
