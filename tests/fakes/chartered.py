"""An authority under a real policy, with starters, workers, helpers and users, spoken to over HTTP; knows no single attempt.

The orchestrator opens tasks for the worker, of its own customers alone; the worker may hand parts of them to the helper. Ann
lets the worker read her mail. The reconciler works for itself.
"""

import json
from typing import Any

from fakes.served_authority import World

from gateway.fetch import Answer
from gateway.identity.provider import JWT_TYPE
from gateway.policy.compile import Policy
from gateway.policy.rules import DenialRule, GrantRule

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
INTENTS = ("invoices.read", "invoices.write", "invoices.delete", "status.read", "mail.read")


def spiffe(name: str) -> str:
    return f"spiffe://acme.example/ns/agents/sa/{name}"


ORCHESTRATOR, WORKER, HELPER, RECONCILER, ANN = map(spiffe, ("orchestrator", "worker", "helper", "reconciler", "ann"))


def charter() -> Policy:
    grants = [
        {"name": "own work", "agents": [RECONCILER], "intents": ["invoices.*", "status.read"], "limits": {"requests": 100}},
        {
            "name": "work for customers",
            "agents": [WORKER],
            "intents": ["invoices.read", "invoices.write"],
            "start": {"by": [ORCHESTRATOR], "when": "task.params.customer in subject.claims.customers"},
            "when": '!has(subject.claims.region) || subject.claims.region == "eu"',
        },
        {"name": "own status", "agents": [WORKER], "intents": ["status.read"]},
        {"name": "help", "agents": [HELPER], "intents": ["invoices.read"], "start": {"by": [WORKER, HELPER]}},
        {"name": "mail", "agents": [WORKER], "intents": ["mail.read"], "start": {"by": [ANN]}},
    ]
    denials = [{"name": "nobody deletes", "intents": ["invoices.delete"]}]
    return Policy(
        [GrantRule.model_validate(grant) for grant in grants],
        [DenialRule.model_validate(denial) for denial in denials],
        INTENTS,
        "charter",
    )


class Chartered:
    """What the agents of the charter ask for."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.grants.policy = charter()

    def identity(self, name: str, **claims: Any) -> str:
        return self.world.identity_token(name, **({"customers": ["42", "43"]} if name == "orchestrator" else {}), **claims)

    def client(self, name: str) -> dict[str, str]:
        return {"client_assertion_type": ASSERTION, "client_assertion": self.identity(name)}

    async def token(self, form: dict[str, str | None]) -> Answer:
        return await self.world.post("/token", {name: value for name, value in form.items() if value is not None})

    async def start(self, starter: str, agent: str, scope: str, **details: Any) -> Answer:
        form = {"agent": agent, "scope": scope, "authorization_details": element(**details)}
        return await self.world.post("/tasks", {**form, **self.client(starter)})

    async def own(
        self, name: str, scope: str = "", task: str | None = None, *, raw: str | None = None, **details: Any
    ) -> Answer:
        """Exchange the agent's own identity, for a new task or for its task."""
        form = {
            "grant_type": EXCHANGE,
            "subject_token": self.identity(name),
            "subject_token_type": JWT_TYPE,
            "scope": scope or None,
            "task": task,
            "authorization_details": raw or (element(**details) if details else None),
        }
        return await self.token(form)

    async def below(
        self,
        name: str | None,
        parent: str,
        scope: str = "",
        task: str | None = None,
        *,
        kind: str = ACCESS_TOKEN,
        **details: Any,
    ) -> Answer:
        """Exchange a task token, for a task below it, as this client or as nobody."""
        form = {
            "grant_type": EXCHANGE,
            "subject_token": parent,
            "subject_token_type": kind,
            "scope": scope or None,
            "task": task,
            "authorization_details": element(**details) if details else None,
            **({} if name is None else self.client(name)),
        }
        return await self.token(form)

    async def behalf(self, subject: str, actor: str, scope: str = "", task: str | None = None, **claims: Any) -> Answer:
        """Exchange somebody's token as another one."""
        form = {
            "grant_type": EXCHANGE,
            "subject_token": self.identity(subject, **claims),
            "subject_token_type": JWT_TYPE,
            "actor_token": self.identity(actor),
            "actor_token_type": JWT_TYPE,
            "scope": scope or None,
            "task": task,
        }
        return await self.token(form)

    async def joined(self, scope: str = "invoices.read invoices.write", **details: Any) -> dict[str, Any]:
        """The answer of a task that the orchestrator has opened for the worker, and the worker has joined."""
        details = {"params": {"customer": "42"}, **details}
        started = (await self.start("orchestrator", WORKER, scope, **details)).json()
        return (await self.own("worker", task=started["task"])).json()

    async def handed(self, task: str, agent: str = HELPER, scope: str = "") -> str:
        """A token of the worker's task with which that agent may work below it."""
        return (await self.own("worker", scope, task, may_act=agent)).json()["access_token"]


def element(**members: Any) -> str:
    return json.dumps([{"type": "agent_task", **members}])
