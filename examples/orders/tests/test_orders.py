"""The example over HTTP, with the queue watched and with the jobs really run."""

from dataclasses import dataclass, field

import pytest

import goose
from app.jobs.process_order import ProcessOrder
from app.jobs.send_email import SendEmail
from app.mailer import Mailer
from app.module import AppModule
from app.orders.service import OrderNotFound
from goose import ApiPlatform, Instance, api
from goose.testing import AppTestClient
from goose_queues import Client, QueuesModule
from goose_queues.testing import FakeQueue, drain

ORDER = {"item": "egg", "quantity": 12, "email": "ada@example.com"}


@dataclass
class FakeMailer:
    sent: list[tuple[str, str]] = field(default_factory=list)

    async def send(self, to: str, subject: str) -> None:
        self.sent.append((to, subject))


@dataclass
class BrokenMailer:
    async def send(self, to: str, subject: str) -> None:
        raise ValueError("no such mailbox")


@pytest.fixture
def app() -> Instance:
    return api(ApiPlatform(errors={OrderNotFound: 404}), AppModule, [QueuesModule()])


def test_create_order_dispatches(app: Instance) -> None:
    """An accepted order is answered with 201, and a job is dispatched for it."""
    with AppTestClient(app, overrides={Client: (fake := FakeQueue())}) as http:
        answer = http.post("/orders", json=ORDER)
    assert answer.status_code == 201
    order_id = answer.json()["order"]["id"]
    fake.assert_dispatched(ProcessOrder, times=1, where=lambda job: job.order_id == order_id)


def test_an_order_that_is_refused_dispatches_nothing(app: Instance) -> None:
    """A wrong order is answered with what is wrong, and leaves nothing behind."""
    with AppTestClient(app) as http:
        answer = http.post("/orders", json={**ORDER, "quantity": 0})
        assert answer.status_code == 422
        assert http.get("/queues").json()["orders"]["pending"] == 0


def test_the_whole_way(app: Instance) -> None:
    """An order is taken, confirmed by a job, and its customer gets mail by another."""
    mailer = FakeMailer()
    with AppTestClient(app, overrides={Mailer: mailer}) as http:
        answer = http.post("/orders", json=ORDER).json()
        assert http.get(f"/jobs/{answer['job_id']}").json()["status"] == "pending"
        assert http.drain().completed == 2
        assert http.get(f"/jobs/{answer['job_id']}").json()["status"] == "completed"
        assert http.get(f"/jobs/{answer['job_id']}").json()["result"] == "confirmed"
        assert http.get(f"/orders/{answer['order']['id']}").json()["status"] == "confirmed"
        assert http.get("/queues").json()["emails"] == {"pending": 0, "processing": 0, "completed": 1, "failed": 0}
    assert mailer.sent == [("ada@example.com", "Your order of 12 x egg")]


async def test_mail_that_cannot_be_sent_is_kept(app: Instance) -> None:
    """A mail that fails for good is failed once and kept."""
    async with goose.running(app, overrides={Mailer: BrokenMailer()}) as kernel:
        await kernel.get(Client).dispatch(SendEmail(to="nobody@example.com", subject="hi"))
        report = await drain(kernel)
    assert (report.completed, report.failed) == (0, 1)


def test_what_is_not_there(app: Instance) -> None:
    """Unknown orders and jobs are answered with 404."""
    with AppTestClient(app) as http:
        assert http.get("/orders/none").status_code == 404
        assert http.get("/jobs/none").status_code == 404
