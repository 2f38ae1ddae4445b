"""Examples of grants: a wrong one is a mistake with its place, and none depends on when it is run."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.settings.compile import compile_configuration
from gateway.settings.load import load_text

CONFIGURATION = """version: 1
tenant: t
identities: {{cluster: {{oidc: {{issuer: "https://i.example", audience: d, agent: claims.sub}}, mints: spiffe://t.test/*}}}}
upstreams: {{api: {{url: "https://api.example", credential: key}}}}
credentials:
  key:
    secret: {{env: KEY}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: tests, reason: tests, expires: 2027-03-01, review_every: 30d, reviewed: 2026-11-20}}
intents: {{a.read: {{upstream: api, operations: ["GET /x/{{id}}"]}}, a.write: {{upstream: api, operations: [POST /x]}}}}
grants:
  - name: works by day
    agents: [spiffe://t.test/*]
    intents: [a.*]
    when: |
      now.getHours("UTC") >= 6 && request.method != "POST" || request.json.amount <= 5
    examples:
      - {example}
"""


def flaws(example: str, hour: int = 12) -> list[str]:
    text = CONFIGURATION.format(example=example)
    try:
        compile_configuration(load_text(text, Path("d.yaml"), {}), datetime(2026, 11, 24, hour, tzinfo=UTC).timestamp())
    except ConfigurationError as error:
        return [f"{flaw.line}:{flaw.column}: {flaw.message.partition(' (')[0]}" for flaw in error.flaws]
    return []


@pytest.mark.parametrize(
    ("example", "told"),
    [
        ("{allow: GET /x/1}", []),
        ("{deny: GET /x/1}", ["18:16: this example is allowed, by the grant 'works by day'"]),
        ("{deny: GET /x/1, at: 2026-11-24T03:00:00Z, code: condition_failed}", []),
        ("{allow: POST /x, json: {amount: 5}}", []),
        ("{allow: POST /x, json: {amount: 6}}", ["18:17: this example is refused: condition_failed"]),
        ("{deny: POST /x, json: {amount: 6}, code: denied}",
         ["18:16: this example is refused with condition_failed, not with denied"]),
        ("{deny: DELETE /x}", []),
        ("{allow: x}", ["18:17: an example is a method, a space and a path, such as GET /v1/invoices?limit=5"]),
        ("{allow: GET /x/1, intent: b}", ["18:17: unknown intent 'b'"]),
    ],
)  # fmt: skip
def test_a_wrong_example_is_a_mistake_with_its_place(example: str, told: list[str]) -> None:
    """It says what policy decides instead."""
    assert flaws(example) == told


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_no_example_depends_on_when_it_is_run(hour: int) -> None:
    """A restart at night is no worse than one by day."""
    assert flaws("{allow: GET /x/1}", hour) == []
