from __future__ import annotations

import pytest

from goose_queues import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:hunter2@db/x", "postgresql://ann:***@db/x"),
        ("password=hunter2 next", "password=*** next"),
        ('{"api_key": "hunter 2", "n": 1}', '{"api_key": ***, "n": 1}'),
        ("Authorization: Bearer hunter2", "Authorization: ***"),
        ("Cookie: a=hunter2; b=hunter2", "Cookie: ***"),
        ("{'cookie': 'a=hunter2; b=1', 'n': 1}", "{'cookie': ***, 'n': 1}"),
        ("X-Api-Key: hunter2", "X-Api-Key: ***"),
        ("{'token': b'hunter2'}", "{'token': ***}"),
        ("{'password': \"it's hunter2\"}", "{'password': ***}"),
        ("password='it\\'s hunter2', n=1", "password=***, n=1"),
        ("{'password': 'hun...er2}", "{'password': ***"),
        ("passwords=['hunter2', 'x'] n=1", "passwords=*** n=1"),
        ("secret_key=hunter2&n=1", "secret_key=***&n=1"),
        ("postgresql://ann:hun@ter2@db/x", "postgresql://ann:***@db/x"),
        ("postgresql://ann:hun/ter2@db/x", "postgresql://ann:***@db/x"),
        ("redis://:hunter2@db, redis://:hunter2@db", "redis://:***@db, redis://:***@db"),
        (
            "1 validation error for Login\npassword\n  Input should be a valid integer "
            "[type=int_type, input_value='hunter2', input_type=str]\n",
            "1 validation error for Login\npassword\n  Input should be a valid integer "
            "[type=int_type, input_value=***, input_type=str]\n",
        ),
        ("('{\\'password\\': \\'hunter2\\', \\'n\\': 1}',)", "('{\\'password\\': ***, \\'n\\': 1}',)"),
        ('"{\\"token\\": \\"hunter2\\"}"', '"{\\"token\\": ***}"'),
        ("password='***', n=1", "password='***', n=1"),
        ("token is missing", "token is missing"),
        ("http://host:80/a@b", "http://host:80/a@b"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert redact.mask_secrets(text) == shown


def test_a_long_text_of_almost_secrets_takes_linear_time() -> None:
    for text in (
        "://a:" * 200_000,
        "token=" * 200_000,
        'password="' * 100_000,
        "secret" + " " * 1_000_000,
        "token\n  " + "input_value=" * 80_000,
        "cookie:" * 100_000,
        "token=[" * 100_000,
        "token=\\'" * 100_000,
    ):
        redact.mask_secrets(text)


def test_one_line_neutralises_what_would_forge_a_log_or_drive_a_terminal() -> None:
    forged = "ok\r\n2027 ERROR root \x1b[31mred\x1b[0m\x85\u2028\u202e\x00\ud800"

    assert redact.one_line(forged) == "ok\\x0d\\x0a2027 ERROR root \\x1b[31mred\\x1b[0m\\x85\\u2028\\u202e\\x00\\ud800"


def test_what_is_no_text_is_shown_as_python_does() -> None:
    assert redact.one_line(b"\n\xff") == "b'\\n\\xff'"


def test_one_line_is_short() -> None:
    assert redact.one_line("a" * 600) == "a" * 497 + "..."
    assert redact.one_line("ä" * 10, 10) == "ä" * 10


@pytest.mark.parametrize("name", ["password", "user_token", "API_KEY", "apikey", "cookie", "Authorization"])
def test_fields_of_these_names_are_secret(name: str) -> None:
    assert redact.is_secret(name)
    assert not redact.is_secret("subject")


def test_fields_of_a_json_value_are_masked_by_name() -> None:
    value = {"to": "a", "api_key": ["k"], "in": [{"Token": {"a": 1}}, "redis://:hunter2@db", 3, None, True]}
    assert redact.mask_fields(value) == {
        "to": "a",
        "api_key": "***",
        "in": [{"Token": "***"}, "redis://:***@db", 3, None, True],
    }
