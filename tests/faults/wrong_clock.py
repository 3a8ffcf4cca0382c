"""A process whose clock is wrong: what Python says of the time of day is changed, what it says of time gone by is not.

``application`` calls it, in a process of its own. The machine's other clocks, and those of other processes, stay right.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from typing import Any, Final

_time: Final = time.time
_time_ns: Final = time.time_ns
_Datetime: Final = dt.datetime


def set_wrong(seconds: float) -> None:
    """Put the clock so far ahead; 0 changes nothing."""
    if not seconds:
        return
    ahead = dt.timedelta(seconds=seconds)

    class Wrong(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _Datetime)

    class Datetime(_Datetime, metaclass=Wrong):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return _Datetime.now(tz) + ahead

        @classmethod
        def utcnow(cls) -> Any:
            return _Datetime.now(dt.UTC).replace(tzinfo=None) + ahead

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    changed: dict[object, object] = {
        _time: lambda: _time() + seconds,
        _time_ns: lambda: _time_ns() + int(seconds * 1e9),
        _Datetime: Datetime,
    }
    for each in [*sys.modules.values()]:
        if each is sys.modules[__name__]:
            continue
        for name, value in list(vars(each).items()):
            if isinstance(value, type | type(time.time)) and value in changed:
                setattr(each, name, changed[value])
