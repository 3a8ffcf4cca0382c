"""How mail leaves the house. A real application would speak SMTP here."""

import logging
from dataclasses import dataclass
from typing import Protocol

log = logging.getLogger(__name__)


class Mailer(Protocol):
    async def send(self, to: str, subject: str) -> None: ...


@dataclass
class LogMailer:
    """Writes mail to the log instead of sending it."""

    async def send(self, to: str, subject: str) -> None:
        log.info("mail to %s: %s", to, subject)
