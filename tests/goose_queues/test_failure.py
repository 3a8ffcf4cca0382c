from __future__ import annotations

import pytest

from goose_queues.failure import MESSAGE_BYTES, TRACEBACK_BYTES, record_error, say


def raised(error: BaseException, local: str = "") -> BaseException:
    with pytest.raises(type(error)):
        raise error
    return error


def test_an_error_is_kept_with_its_type_message_and_traceback() -> None:
    record = record_error(raised(ValueError("no such order")))

    assert (record.type, record.message) == ("ValueError", "no such order")
    assert record.traceback.startswith("Traceback (most recent call last):\n")
    assert "in raised\n    raise error\nValueError: no such order\n" in record.traceback


def test_a_traceback_tells_causes_contexts_and_notes_but_no_locals() -> None:
    first, second, third = KeyError("first"), ValueError("second"), RuntimeError("third")
    second.__cause__, third.__context__ = raised(first), second
    second.add_note("look at order 5")
    text = record_error(raised(third, local="hunter2-local")).traceback

    assert "in raised" in text
    assert "hunter2-local" not in text
    assert text.index("KeyError: 'first'") < text.index("direct cause") < text.index("ValueError: second")
    assert text.index("look at order 5") < text.index("During handling") < text.index("RuntimeError: third")


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit("no")


def test_an_error_that_cannot_say_what_it_is_is_kept() -> None:
    record = record_error(raised(Mute()))

    assert (record.type, record.message) == ("Mute", "<str() raised SystemExit>")
    assert record.traceback.endswith("Mute: <str() raised SystemExit>\n")


def test_a_message_of_100_mb_is_cut() -> None:
    record = record_error(raised(ValueError("é" * 50_000_000)))

    assert len(record.message.encode()) <= MESSAGE_BYTES
    assert record.message.startswith("éé")
    assert len(record.traceback.encode()) <= TRACEBACK_BYTES


def test_nuls_and_lone_surrogates_are_neutralised() -> None:
    record = record_error(raised(ValueError("a\x00b\ud800c")))

    assert record.message == "a\\x00b\\ud800c"
    (record.message + record.traceback).encode()
    assert "\x00" not in record.traceback


def test_secrets_in_messages_are_masked() -> None:
    record = record_error(raised(ValueError("cannot reach postgresql://ann:hunter2@db password='hunter2'")))

    assert record.message == "cannot reach postgresql://ann:***@db password=***"
    assert "hunter2" not in record.traceback.replace('ValueError("cannot reach postgresql://ann:hunter2@db', "")


def test_a_recursion_error_keeps_head_and_tail() -> None:
    def endless(n: int) -> int:
        return endless(n + 1) + 1

    with pytest.raises(RecursionError) as caught:
        endless(0)
    record = record_error(caught.value)

    assert record.type == "RecursionError"
    assert "frames left out" in record.traceback
    assert "test_a_recursion_error_keeps_head_and_tail" in record.traceback
    assert 30 < record.traceback.count("in endless") < 40


def test_the_members_of_a_group_are_told() -> None:
    group = ExceptionGroup("several", [raised(ValueError("one")), ExceptionGroup("inner", [raised(KeyError("two"))])])
    record = record_error(raised(group))

    assert record.message == "several (2 sub-exceptions)"
    assert "ValueError: one" in record.traceback
    assert "KeyError: 'two'" in record.traceback


def test_a_group_of_thousands_and_a_circle_of_causes_end() -> None:
    group = ExceptionGroup("many", [ValueError(str(n)) for n in range(5000)])
    assert "more\n" in record_error(group).traceback

    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert record_error(first).traceback.count("ValueError: a") == 1


def test_a_traceback_longer_than_its_limit_keeps_both_ends() -> None:
    error: BaseException = ValueError("the beginning")
    for number in range(12):
        outer = ValueError(f"{number}" + "x" * 8000)
        outer.__cause__ = error
        error = outer
    text = record_error(error).traceback

    assert len(text.encode()) <= TRACEBACK_BYTES
    assert text.startswith("ValueError: the beginning")
    assert "\n... cut ...\n" in text
    assert text.endswith("x\n")


def test_a_cause_is_not_told_where_it_was_suppressed() -> None:
    error = raised(ValueError("shown"))
    error.__context__, error.__suppress_context__ = raised(KeyError("hidden")), True

    assert "hidden" not in record_error(error).traceback


def test_an_error_in_one_line() -> None:
    assert say(ValueError("x")) == "ValueError: x"
    assert say(ValueError()) == "ValueError"
