from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import pytest
from pydantic import ConfigDict, ValidationError

from goose_queues.backoff import Backoff, exponential
from goose_queues.context import JobContext
from goose_queues.job import DEFAULT_PRIORITY, Job, JobOptions, require_job
from goose_queues.middleware import JobMiddleware, Next
from goose_queues.values import UNSET


class Timing(JobMiddleware):
    async def handle(self, ctx: JobContext, next: Next) -> object:
        return await next()


class SendEmail(
    Job,
    queue="emails",
    timeout=timedelta(minutes=5),
    max_retries=3,
    retry_delay=timedelta(seconds=30),
    priority=10,
    aliases=("SendMail",),
    middleware=(Timing,),
):
    to: str
    password: str = ""
    kind: ClassVar[str] = "mail"

    async def handle(self, ctx: JobContext) -> None: ...


def test_options_are_class_keywords() -> None:
    assert SendEmail.__goose_options__ == JobOptions(
        name="SendEmail",
        aliases=("SendMail",),
        queue="emails",
        timeout=300.0,
        max_retries=3,
        retry_delay=Backoff(30.0),
        priority=10,
        middleware=(Timing,),
        isolation=None,
    )


def test_options_not_given_are_the_modules_to_decide() -> None:
    class Plain(Job):
        async def handle(self, ctx: JobContext) -> None: ...

    options = Plain.__goose_options__
    assert (options.queue, options.priority, options.middleware) == (None, DEFAULT_PRIORITY, ())
    assert (options.timeout, options.max_retries, options.retry_delay) == (UNSET, UNSET, UNSET)


def test_options_are_inherited_but_for_name_and_aliases() -> None:
    class Newsletter(SendEmail, priority=1, timeout=None, retry_delay=exponential(1), name="news"): ...

    class Digest(Newsletter, queue=None): ...

    assert Newsletter.__goose_options__.queue == "emails"
    assert Newsletter.__goose_options__.timeout is None
    assert Newsletter.__goose_options__.aliases == ()
    digest = Digest.__goose_options__
    assert (digest.name, digest.queue, digest.priority, digest.retry_delay) == ("Digest", None, 1, exponential(1))
    assert digest.middleware == (Timing,)


def test_the_kernel_reads_a_job_class_as_a_kind_with_injected_handle_and_implied_middleware() -> None:
    assert SendEmail.__goose_listed__ is True
    assert SendEmail.__goose_injected__ == ("handle",)
    assert tuple(SendEmail.__goose_implied__()) == (Timing,)


@pytest.mark.parametrize(
    ("options", "fault", "sentence"),
    [
        ({"max_retrys": 1}, TypeError, "Wrong: no option 'max_retrys' of a job; did you mean max_retries?"),
        (
            {"zzz": 1},
            TypeError,
            "Wrong: no option 'zzz' of a job; there are aliases, isolation, max_retries, middleware, name, priority, "
            "queue, retry_delay, timeout",
        ),
        ({"priority": True}, TypeError, "Wrong: priority must be an integer -32768..32767, not True"),
        ({"priority": 2**40}, ValueError, "Wrong: priority must be an integer -32768..32767, not 1099511627776"),
        ({"max_retries": None}, ValueError, "Wrong: max_retries must be an integer 0..1000, not None"),
        ({"timeout": 0}, ValueError, "Wrong: timeout must be more than 0 s; None means no timeout"),
        (
            {"retry_delay": "1000"},
            TypeError,
            "Wrong: retry_delay must be a non-negative timedelta or number of seconds, not '1000'",
        ),
        ({"queue": "a/b"}, ValueError, "'a/b' is no name for a queue: use [A-Za-z0-9_.-]{1,64}"),
        ({"name": "a\n"}, ValueError, "'a\\n' is no name for a job: use 1 to 255 printable characters"),
        ({"aliases": "SendMail"}, TypeError, "Wrong: aliases must be a sequence of names: aliases=('SendMail',)"),
        ({"middleware": 5}, TypeError, "Wrong: middleware must be a sequence of classes derived from JobMiddleware"),
        ({"isolation": "thread"}, ValueError, "Wrong: isolation must be \"process\" or None, not 'thread'"),
    ],
)
def test_a_wrong_option_is_refused_at_class_creation(
    options: dict[str, Any], fault: type[Exception], sentence: str
) -> None:
    with pytest.raises(fault) as caught:
        type(Job)("Wrong", (Job,), {"__module__": __name__}, **options)

    assert str(caught.value) == sentence


def test_isolation_in_a_process_is_kept_for_the_boot_to_judge() -> None:
    class Heavy(Job, isolation="process"): ...

    assert Heavy.__goose_options__.isolation == "process"


@pytest.mark.parametrize("field", ["handle", "model_dump", "json", "copy", "should_retry", "model_fields", "schema"])
def test_a_field_that_would_hide_something_of_job_is_refused_by_name(field: str) -> None:
    with pytest.raises(TypeError) as caught:
        type(Job)("Wrong", (Job,), {"__module__": __name__, "__annotations__": {field: str}})

    assert str(caught.value) == f"Wrong: a field named {field!r} would hide {field} of Job; choose another name"


def test_names_that_hide_nothing_are_free() -> None:
    class Odd(Job):
        model_config: ClassVar[ConfigDict] = ConfigDict(title="odd")
        model_id: int
        queue: str
        priority: int
        name: str

    assert Odd(model_id=1, queue="q", priority=2, name="n").model_dump() == {
        "model_id": 1,
        "queue": "q",
        "priority": 2,
        "name": "n",
    }


@pytest.mark.parametrize("fields", [{}, {"to": "a", "cc": "b"}, {"to": 5}])
def test_a_wrong_field_fails_where_the_job_is_made(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SendEmail(**fields)


def test_a_job_cannot_be_changed() -> None:
    job = SendEmail(to="a")
    with pytest.raises(ValidationError):
        job.to = "b"


def test_fields_with_a_secrets_name_are_masked_when_shown() -> None:
    job = SendEmail(to="a", password="hunter2")

    assert repr(job) == "SendEmail(to='a', password='***')"
    assert "hunter2" not in str(job)


def test_without_methods_of_its_own_a_job_retries_by_the_book() -> None:
    class Bare(Job): ...

    error = ValueError()
    assert Bare().should_retry(error) is True
    assert Bare().retry_after(1, error) is None
    with pytest.raises(TypeError, match=r"^Bare has no handle\(\)$"):
        Bare().handle(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (SendEmail, "pass an instance: SendEmail(...)"),
        ("SendEmail", "not a job: str"),
        ({}, "not a job: dict"),
        (None, "not a job: NoneType"),
        (lambda: None, "not a job: function"),
        (int, "not a job: int"),
    ],
)
def test_what_is_no_job_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(TypeError) as caught:
        require_job(value)

    assert str(caught.value) == sentence


def test_a_job_is_a_job() -> None:
    job = SendEmail(to="a")
    assert require_job(job) is job
