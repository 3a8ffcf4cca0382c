"""The hand of a test in Redis: the two keys of each queue, by redis-py and scripts of its own, as ``stores/redis`` lays out.

``<prefix>{<queue>}:index`` is ordered by its members' text, ``<prefix>{<queue>}:data`` has the jobs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import psutil
from sqlalchemy import URL, make_url

from hand import Found, stop
from servers.shared import connect

_STATUSES: Final = {
    **dict.fromkeys("rsw", "pending"),
    "p": "processing",
    "c": "completed",
    "f": "failed",
    "x": "cancelled",
}

_PATIENCE: Final = 10.0
"""Seconds for which a server may refuse to answer."""

_ID: Final = re.compile(rb"[0-9a-f]+(-[0-9a-f]+){4}\Z")

# A number that is packed is read by the server alone, whose JSON would round it.
_JOBS: Final = """
local jobs = {}
for _, data in ipairs(redis.call('KEYS', ARGV[1] .. '{*}:data')) do
  local fields = redis.call('HGETALL', data)
  local runs, bodies = {}, {}
  for at = 1, #fields, 2 do
    local id = string.match(fields[at], '^(%x+%-[%x%-]+)$')
    if id then bodies[id] = fields[at + 1] end
    local run = string.match(fields[at], '^(%x+%-[%x%-]+)\\n$')
    if run then
      local ok, found = pcall(cmsgpack.unpack, fields[at + 1])
      runs[run] = ok and type(found) == 'table' and found or {}
    end
  end
  for id, body in pairs(bodies) do
    local run = runs[id] or {}
    local function count(name) return string.format('%d', run[name] or 0) end
    jobs[#jobs + 1] = {id, run.state or string.sub(body, 1, 1), count('attempts'), count('failures'), count('deaths'), body}
  end
end
return jobs
"""
_UNFINISHED: Final = """
local found = 0
for _, index in ipairs(redis.call('KEYS', ARGV[1] .. '{*}:index')) do
  for kind in string.gmatch(ARGV[2], '.') do
    found = found + redis.call('ZLEXCOUNT', index, '[' .. kind .. '\\n', '(' .. kind .. '\\n\\255')
  end
end
return found
"""
_LAPSE: Final = """
local lapsed = {}
for _, index in ipairs(redis.call('KEYS', ARGV[1] .. '{*}:index')) do
  local data = string.gsub(index, 'index$', 'data')
  for _, member in ipairs(redis.call('ZRANGEBYLEX', index, '[p\\n', '(p\\n\\255')) do
    local id = string.match(member, '^p\\n%d+\\n(.*)$')
    local run = cmsgpack.unpack(redis.call('HGET', data, id .. '\\n'))
    if (ARGV[2] == '' or run.worker == ARGV[2]) and (ARGV[3] == '' or id == ARGV[3]) then
      run.lease = 0
      redis.call('ZREM', index, member)
      redis.call('ZADD', index, 0, 'p\\n' .. string.rep('0', 16) .. '\\n' .. id)
      redis.call('HSET', data, id .. '\\n', cmsgpack.pack(run))
      lapsed[#lapsed + 1] = id
    end
  end
end
return lapsed
"""


class RedisHand:
    """Reads and changes what one prefix has on a server."""

    def __init__(self, url: str | URL, prefix: str = "goose_") -> None:
        self.url: Final = make_url(url)
        self._prefix: Final = prefix
        self._client: Any = None

    def jobs(self) -> list[Found]:
        return [_found(*map(bytes.decode, job)) for job in self._run(_JOBS)]

    def count(self) -> int:
        every = self.client.keys(f"{self._prefix}{{*}}:data")
        return sum(_ID.match(field) is not None for data in every for field in self.client.hkeys(data))

    def is_over(self) -> bool:
        # Ready, scheduled, waiting and processing jobs, and what is on its way to another queue.
        return not self._run(_UNFINISHED, "rswpo")

    def is_idle(self) -> bool:
        """Whether nothing is left to be done, although links of chains may be waiting."""
        return not self._run(_UNFINISHED, "rspo")

    def lapse(self, *, worker: str | None = None, job: str | None = None) -> set[str]:
        return {job_id.decode() for job_id in self._run(_LAPSE, worker or "", job or "")}

    def rename(self, job: str, name: str) -> None:
        index, data = self.keys(job)
        line, _, payload = self.client.hget(data, job).decode().partition("\n")
        *head, facts = line.split(" ", 5)
        old, number, *others = json.loads(facts)
        due = head[2] if head[1] == "-" else head[1]
        place = f"{32767 - number:05}{int(due):016}{job}"
        if not self.client.zrem(index, f"r\n{old}\n{place}"):
            raise LookupError("it is not ready")
        self.client.zadd(index, {f"r\n{name}\n{place}": 0})
        self.client.hset(data, job, " ".join([*head, json.dumps([name, number, *others])]) + "\n" + payload)

    def freeze(self, process: psutil.Process) -> float:
        """Whatever a process is about, the server has done it wholly or not at all."""
        return stop(process)

    def keys(self, job: str) -> tuple[str, str]:
        """Index and data of the queue that a job is in."""
        for data in self.client.keys(f"{self._prefix}{{*}}:data"):
            if self.client.hexists(data, job):
                return data.decode().removesuffix("data") + "index", data.decode()
        raise LookupError("it is nowhere")

    @property
    def client(self) -> Any:
        """A connection of redis-py's."""
        if self._client is None:
            self._client = connect(self.url)
        return self._client

    def close(self) -> None:
        if self._client is not None:
            with suppress(Exception):
                self._client.close()
            self._client = None

    def _run(self, script: str, *arguments: str) -> Any:
        # The server may be away for a while, or, after a failover, not know yet that its cluster is whole again.
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                return self.client.eval(script, 0, self._prefix, *arguments)
            except Exception:
                self.close()
                if time.monotonic() > end:
                    raise
            time.sleep(0.02)


def _found(job: str, state: str, attempts: str, failures: str, deaths: str, body: str) -> Found:
    line, _, payload = body.partition("\n")
    # What a job has not is left out at the end.
    facts: Sequence[Any] = json.loads(line.split(" ", 5)[-1]) + [None] * 9
    return Found(
        job,
        _STATUSES[state],
        int(attempts),
        int(failures),
        int(deaths),
        timeout=facts[3],
        payload=payload,
        batch=facts[7],
        role=facts[8],
    )
