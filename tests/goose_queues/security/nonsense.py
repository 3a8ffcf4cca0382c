"""Values that have no business in a column of the queue's tables, by a seeded dice. Used by ``fuzzing``."""

from __future__ import annotations

import json
import pickle
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Text:
    """Bytes that stand in a column as text, whether they are UTF-8 or not."""

    data: bytes


class Bomb:
    """What a pickle of this would do: make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


class Nonsense:
    """Deals out values; those that are code would make the file ``canary`` if anybody ran them."""

    def __init__(self, seed: int, canary: Path) -> None:
        self.dice = random.Random(seed)
        self.attacks = attacks(canary)

    def value(self, rows: list[Row], column: str) -> Any:
        """Something for this column: of another row, bent out of shape, or of no kind that belongs there."""
        dice = self.dice
        other = dice.choice(rows)
        match dice.randrange(12):
            case 0 | 1:
                return dice.choice(self.attacks)
            case 2:
                return self.number()
            case 3:
                return None
            case 4:
                return "".join(chr(self._code()) for _ in range(dice.randrange(40)))
            case 5:
                return dice.randbytes(dice.randrange(40))
            case 6:
                return Text(dice.choice([b"\xff", b"a\xc3", b"\xed\xa0\x80", b'{"number": \xfe}', dice.randbytes(9)]))
            case 7 | 8:
                return other[dice.choice([column, column, dice.choice(list(other))])]
            case 9:
                return json.dumps(self.document(3))
            case _:
                return self.bent(other[column]) if isinstance(other[column], str) else self.number()

    def number(self) -> float:
        dice = self.dice
        big = [2**31, 2**62, 2**63 - 1, -(2**63), 1e308, float("inf"), -float("inf"), dice.randrange(-(2**63), 2**63)]
        return dice.choice([0, 1, -1, 2, 3, 7, 0.5, -0.0, 5e-324, dice.random() * 1e9, *big])

    def document(self, depth: int) -> Any:
        """JSON data."""
        dice = self.dice
        if depth == 0 or dice.random() < 0.3:
            return dice.choice([None, True, 0, -1, 2**70, 1.5, "", "x", dice.choice(self.attacks)[:200]])
        if dice.random() < 0.5:
            return [self.document(depth - 1) for _ in range(dice.randrange(4))]
        keys = ("number", "text", "word", "data", "inner", "type", "message", "traceback", "__class__", "a\x00", "\n")
        return {dice.choice(keys): self.document(depth - 1) for _ in range(dice.randrange(5))}

    def bent(self, text: str) -> str:
        """Text that was sound, with something wrong in it; JSON stays JSON, half of the time."""
        dice = self.dice
        try:
            found = json.loads(text) if dice.random() < 0.5 else None
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and found:
            key = dice.choice(list(found))
            found[dice.choice([key, key, "__class__", f"{key} "])] = self.document(2)
            return json.dumps(found)
        place, cut = dice.randrange(len(text) + 1), dice.randrange(3)
        return text[:place] + "".join(chr(self._code()) for _ in range(dice.randrange(3))) + text[place + cut :]

    def _code(self) -> int:
        dice = self.dice
        code = dice.choice([dice.randrange(32), dice.randrange(128), dice.randrange(0x110000)])
        return 0x41 if 0xD800 <= code < 0xE000 else code


def attacks(canary: Path) -> tuple[str, ...]:
    """Text that is code to somebody."""
    touch = f"touch {canary}"
    return (
        f"__import__('os').system('{touch}')",
        f"!!python/object/apply:os.system ['{touch}']",
        f"cos\nsystem\n(S'{touch}'\ntR.",
        pickle.dumps(Bomb(canary), 0).decode("latin-1"),
        f"{{{{ ''.__class__.__mro__[1].__subclasses__() }}}} $({touch}) `{touch}`",
        "os.system",
        "pathlib.Path.touch",
        "goose_queues.job:Job",
        "'; DROP TABLE goose_jobs; --",
        "' OR 1=1 --",
        "%s%n%(name)s{0.__class__.__init__.__globals__}",
        "\r\n2027-01-01 ERROR forged\x1b[31m\x1b]0;owned\x07\u202e\u2028",
        "../../etc/passwd",
        *("Job", "Held", "__class__", "handle", "on_failure", "\x00", "", "NaN", "null", "[]", "{}"),
        *("ready", "scheduled", "waiting", "processing", "completed", "failed", "cancelled", "member", "then"),
        '{"__class__": "os.system", "__init__": "x", "__dict__": {"number": 5}, "__reduce__": ["os.system", ["x"]]}',
        '{"py/object": "os.system", "py/reduce": [{"py/function": "os.system"}, ["x"]]}',
        '{"number": 1, "number": {"$ref": "#"}}',
        "[" * 100_000,
        '{"a":' * 5_000,
        "9" * 5_000,
        '{"number": ' + "9" * 5_000 + "}",
        '"\\ud800"',
        '{"word": "\\ud800\\u0000"}',
        '{"number": 1e999}',
        "\ud7ff\U0010ffff",
        "x" * 300_000,
    )
