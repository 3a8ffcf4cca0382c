from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from goose_queues.backoff import Backoff, exponential
from goose_queues.config import DEFAULT_SLOTS, Settings
from goose_queues.errors import ConfigError


def test_every_option_has_a_default() -> None:
    settings = Settings()

    assert (settings.driver, settings.url, settings.queue) == ("sql", None, "default")
    assert (settings.default_retry_limit, settings.default_retry_delay) == (3, Backoff(1.0))
    assert (settings.default_timeout, settings.poll_interval, settings.stale_job_timeout) == (300.0, 5.0, 30.0)
    assert (settings.cleanup_interval, settings.retention_period) == (3600.0, 604800.0)
    assert (settings.max_payload_size, settings.auto_migrate, settings.synchronous) == (262144, None, "full")


def test_durations_are_seconds_whatever_way_they_are_given() -> None:
    settings = Settings(poll_interval=timedelta(seconds=2), stale_job_timeout=5, default_timeout=None)

    assert (settings.poll_interval, settings.stale_job_timeout, settings.default_timeout) == (2.0, 5.0, None)


def test_a_backoff_is_a_retry_delay() -> None:
    assert Settings(default_retry_delay=exponential(1, cap=300)).default_retry_delay == exponential(1, cap=300)


def test_options_come_from_the_environment_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "WORKERS": '{"emails": 4}',
        "QUEUES": "default, emails",
        "POLL_INTERVAL": "0.5",
        "DEFAULT_TIMEOUT": "none",
        "ENABLE_STALE_JOB_RECOVERY": "False",
        "URL": "sqlite:///env.db",
        "LISTEN_URL": "postgresql://server/app",
        "DEFAULT_RETRY_LIMIT": "7",
        "DEFAULT_RETRY_DELAY": "30",
        "QUEUE": "",
    }
    for option, text in given.items():
        monkeypatch.setenv(f"GOOSE_QUEUES_{option}", text)

    settings = Settings(default_retry_limit=2)

    assert settings.workers == {"emails": 4}
    assert settings.queues == ("default", "emails")
    assert (settings.poll_interval, settings.default_timeout) == (0.5, None)
    assert settings.enable_stale_job_recovery is False
    assert (settings.url, settings.queue, settings.default_retry_limit) == ("sqlite:///env.db", "default", 2)
    assert settings.listen_url == "postgresql://server/app"
    assert settings.default_retry_delay == Backoff(30.0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"stale_job_timeout": 1}, "stale_job_timeout=1: at least 5 s"),
        ({"poll_interval": 0}, "poll_interval=0: at least 50 ms"),
        (
            {"workers": {"exports": -1}},
            "workers={'exports': -1}: an integer 0..10000, or one for each queue: {'default': 2, 'emails': 4}",
        ),
        ({"workers": "4"}, "workers='4': an integer 0..10000, or one for each queue: {'default': 2, 'emails': 4}"),
        (
            {"workers": 10**6},
            "workers=1000000: an integer 0..10000, or one for each queue: {'default': 2, 'emails': 4}",
        ),
        (
            {"workers": {"a b": 1}},
            "workers={'a b': 1}: an integer 0..10000, or one for each queue: {'default': 2, 'emails': 4}",
        ),
        ({"queue": "a/b"}, "queue='a/b': a queue's name: [A-Za-z0-9_.-]{1,64}"),
        ({"queues": "emails"}, "queues='emails': names of queues, each [A-Za-z0-9_.-]{1,64}, or None for all"),
        ({"queues": ()}, "queues=(): names of queues, each [A-Za-z0-9_.-]{1,64}, or None for all"),
        ({"limits": {"a": 0}}, "limits={'a': 0}: an integer above 0 for each queue: {'exports': 1}"),
        ({"limits": 1}, "limits=1: an integer above 0 for each queue: {'exports': 1}"),
        ({"driver": "mongo"}, 'driver=\'mongo\': "sql" or "redis"'),
        (
            {"listen_url": "mysql://app:secret@here/app"},
            "listen_url='mysql://app:***@here/app': a postgresql:// URL that leads past the pooler",
        ),
        ({"synchronous": "off"}, 'synchronous=\'off\': "full" or "normal"'),
        ({"default_retry_limit": None}, "default_retry_limit=None: an integer 0..1000"),
        ({"default_timeout": 0}, "default_timeout=0: a timedelta or number of seconds above 0, or None for no timeout"),
        ({"max_payload_size": 0}, "max_payload_size=0: an integer 1..67108864, in bytes"),
        ({"auto_migrate": "yes"}, "auto_migrate='yes': True, False or None"),
        ({"enable_stale_job_recovery": 1}, "enable_stale_job_recovery=1: True or False"),
        ({"middleware": ("x",)}, "middleware=('x',): classes derived from JobMiddleware"),
        ({"driver": "redis"}, 'url=None: needed with driver="redis": redis://host:6379/0'),
        (
            {"url": "mongodb://ann:hunter2@db"},
            "url='mongodb://ann:***@db': a URL that begins with one of mariadb://, mysql://, postgresql://, sqlite:// "
            '(driver="sql")',
        ),
        (
            {"driver": "redis", "url": "redis+sentinels://ann:hunter2@db/main"},
            "url='redis+sentinels://ann:***@db/main': "
            "after redis comes ://, or +cluster:// or +sentinel:// where there are several servers",
        ),
        (
            {"driver": "redis", "url": "sqlite:///file.db"},
            "url='sqlite:///file.db': a URL that begins with one of redis://, rediss:// (driver=\"redis\")",
        ),
        ({"polinterval": 1}, "polinterval: no such option; did you mean poll_interval?"),
        ({"zzz": 1}, "zzz: no such option"),
    ],
)
def test_a_wrong_option_is_named_with_its_value_and_what_is_allowed(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(**options)

    assert str(caught.value) == sentence


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster", "rediss+sentinel"])
def test_redis_may_be_one_server_or_several(scheme: str) -> None:
    assert Settings(driver="redis", url=f"{scheme}://db/main").url == f"{scheme}://db/main"


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(stale_job_timeout=1, poll_interval=0)

    assert str(caught.value) == "poll_interval=0: at least 50 ms; stale_job_timeout=1: at least 5 s"


def test_a_wrong_value_from_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOSE_QUEUES_POLL_INTERVAL", "soon")

    with pytest.raises(ConfigError) as caught:
        Settings()

    assert str(caught.value) == "poll_interval='soon' (from GOOSE_QUEUES_POLL_INTERVAL): at least 50 ms"


def test_the_password_of_the_url_is_never_shown() -> None:
    settings = Settings(url="postgresql://ann:hunter2@db/x")

    assert "hunter2" not in repr(settings) + str(settings)
    assert "url='postgresql://ann:***@db/x'" in repr(settings)


def test_served_queues_are_those_that_jobs_and_workers_name_unless_narrowed() -> None:
    registered = frozenset({"emails"})

    assert Settings(workers={"exports": 1}).served(registered) == ("default", "emails", "exports")
    assert Settings(queues=("emails",), workers=2).served(registered) == ("emails",)


def test_slots_are_per_queue() -> None:
    assert Settings(workers=2).slots("any") == 2
    assert Settings(workers={"a": 0}).slots("a") == 0
    assert Settings(workers={"a": 0}).slots("b") == DEFAULT_SLOTS


@pytest.mark.parametrize(
    "url", ["redis://db:6379/0", "rediss://db", "redis+cluster://a,b", "redis+sentinel://a/master"]
)
def test_a_url_of_redis_means_its_driver(url: str) -> None:
    assert Settings(url=url).driver == "redis"
    assert Settings(url="sqlite:///a.db").driver == "sql"
    with pytest.raises(ConfigError, match="url="):
        Settings(driver="sql", url=url)
