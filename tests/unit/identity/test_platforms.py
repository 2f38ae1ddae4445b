"""Tokens with the claims of real platforms, before the identities that the guide writes for them.

The claims are declared in sets, as each platform documents them: what Doorward checks by itself, what the guide's expressions
read, and what nobody reads. A claim that stands in none of them would fail here.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from pydantic import ValidationError

from gateway.identity.claims import CHECKED
from gateway.identity.identify import Identities, Minter
from gateway.identity.provider import JWT_TYPE, IdentityRefusedError, Presented, Tools
from gateway.identity.providers import PROVIDERS
from gateway.identity.rules import IdentityRule
from gateway.identity.shared_issuers import SHARED

NOW = 1_800_000_000
GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "prove-an-identity.md"


class Platform(NamedTuple):
    """What a platform puts into its tokens, and which of it the guide's expressions read."""

    name: str
    claims: dict[str, Any]
    read: frozenset[str]
    ignored: frozenset[str]
    agent: str
    strangers: tuple[dict[str, Any], ...]


KUBERNETES = Platform(
    name="cluster",
    claims={
        "aud": ["doorward"],
        "exp": NOW + 3600,
        "iat": NOW,
        "nbf": NOW,
        "iss": "https://kubernetes.default.svc.cluster.local",
        "jti": "1b6e1a1c-5f35-4f0e-9d2c-0a4a2f6c9b77",
        "kubernetes.io": {
            "namespace": "agents",
            "node": {"name": "node-1", "uid": "5f0c3e0a-0d3a-4d5e-8f59-5d3c0f5b7a11"},
            "pod": {"name": "reconciler-6d5f", "uid": "9f4a2b7c-1a0f-4be5-8f6e-1f6f5f1b2c33"},
            "serviceaccount": {"name": "reconciler", "uid": "2c5b0b8e-7a5e-4c43-9d5e-6d5b1d9f6a01"},
            "warnafter": NOW + 3607,
        },
        "sub": "system:serviceaccount:agents:reconciler",
    },
    read=frozenset(("kubernetes.io",)),
    ignored=frozenset(("jti",)),
    agent="spiffe://acme.example/ns/agents/sa/reconciler",
    strangers=(
        {"kubernetes.io": {"namespace": "kube-system", "serviceaccount": {"name": "reconciler", "uid": "x"}}},
        {"kubernetes.io": {"namespace": "agents/../kube-system", "serviceaccount": {"name": "a", "uid": "x"}}},
        {"kubernetes.io": {"namespace": "agents", "serviceaccount": {"name": "a/b", "uid": "x"}}},
        {"kubernetes.io": {"namespace": "agents"}},
        {"kubernetes.io": None},
        {"aud": ["https://kubernetes.default.svc.cluster.local"]},
        {"aud": None, "exp": None},
        {"exp": NOW + 366 * 86_400},
    ),
)
GITHUB = Platform(
    name="actions",
    claims={
        **SHARED["https://token.actions.githubusercontent.com"].stranger,
        "exp": NOW + 300,
        "iat": NOW,
        "nbf": NOW,
        "sub": "repo:acme@4711/billing@42:ref:refs/heads/main",
        "repository": "acme/billing",
        "repository_id": "42",
        "repository_owner": "acme",
        "repository_owner_id": "4711",
        "job_workflow_ref": "acme/billing/.github/workflows/agent.yml@refs/heads/main",
        "workflow_ref": "acme/billing/.github/workflows/agent.yml@refs/heads/main",
    },
    read=frozenset(("repository_id", "repository_owner_id", "ref", "event_name")),
    ignored=frozenset(
        (
            "actor",
            "actor_id",
            "base_ref",
            "check_run_id",
            "enterprise",
            "enterprise_id",
            "environment",
            "head_ref",
            "job_workflow_ref",
            "job_workflow_sha",
            "jti",
            "ref_protected",
            "ref_type",
            "repository",
            "repository_owner",
            "repository_visibility",
            "run_attempt",
            "run_id",
            "run_number",
            "runner_environment",
            "sha",
            "workflow",
            "workflow_ref",
            "workflow_sha",
        )
    ),
    agent="spiffe://acme.example/github/42",
    strangers=(
        {"repository_owner_id": "900000001"},
        {"repository_owner_id": None},
        {"repository_owner_id": 4711},
        {"ref": "refs/heads/feature"},
        {"ref": "refs/pull/7/merge"},
        {"event_name": "pull_request"},
        {"event_name": "pull_request_target"},
        {"repository_id": "42/../43"},
        {"aud": "https://github.com/acme"},
    ),
)
GITLAB = Platform(
    name="pipelines",
    claims={
        **SHARED["https://gitlab.com"].stranger,
        "exp": NOW + 3600,
        "iat": NOW,
        "nbf": NOW - 5,
        "sub": "project_path:acme/billing:ref_type:branch:ref:main",
        "namespace_id": "4711",
        "namespace_path": "acme",
        "project_id": "42",
        "project_path": "acme/billing",
    },
    read=frozenset(("namespace_id", "project_id", "ref_protected")),
    ignored=frozenset(
        (
            "ci_config_ref_uri",
            "ci_config_sha",
            "environment",
            "environment_protected",
            "job_id",
            "jti",
            "namespace_path",
            "pipeline_id",
            "pipeline_source",
            "project_path",
            "project_visibility",
            "ref",
            "ref_path",
            "ref_type",
            "runner_environment",
            "runner_id",
            "sha",
            "user_email",
            "user_id",
            "user_login",
        )
    ),
    agent="spiffe://acme.example/gitlab/42",
    strangers=(
        {"namespace_id": "900000001"},
        {"namespace_id": None},
        {"ref_protected": "false"},
        {"ref_protected": True},
        {"project_id": "42.0/x"},
        {"aud": "https://gitlab.com"},
    ),
)
PLATFORMS = (KUBERNETES, GITHUB, GITLAB)


def written() -> dict[str, Any]:
    """All identities of the guide, by name."""
    found: dict[str, Any] = {}
    for block in re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        found |= (yaml.safe_load(block) or {}).get("identities", {})
    return found


@pytest.fixture(params=PLATFORMS, ids=[platform.name for platform in PLATFORMS])
def platform(request: pytest.FixtureRequest) -> Platform:
    """Each of them."""
    made: Platform = request.param
    return made


@pytest.fixture
def identify(platform: Platform, issuer: Any, tools: Tools, tmp_path: Path) -> Callable[..., Any]:
    """Presents the platform's token, changed in some claims, to the identity of the guide; its keys are in a file."""
    (tmp_path / "jwks.json").write_bytes(issuer.jwks())
    text = written()[platform.name]
    text["oidc"] = {**text["oidc"], "jwks": {"file": "jwks.json"}}
    text["oidc"].pop("review", None)
    rule = IdentityRule.model_validate(text)
    provider = PROVIDERS["oidc"].build(rule.choice.config, platform.name, tools)
    identities = Identities({platform.name: Minter(provider, rule.patterns)})

    async def present(**changed: Any) -> str:
        claims = {name: value for name, value in {**platform.claims, **changed}.items() if value is not None}
        return (await identities.identify(Presented(issuer.token(claims), JWT_TYPE))).agent

    return present


async def test_the_guides_identity_knows_the_platforms_token(platform: Platform, identify: Callable[..., Any]) -> None:
    """With all claims that the platform documents."""
    assert await identify() == platform.agent


async def test_strangers_and_other_jobs_are_nobody(platform: Platform, identify: Callable[..., Any]) -> None:
    """Each differs from the good token in one thing only."""
    for stranger in platform.strangers:
        with pytest.raises(IdentityRefusedError):
            await identify(**stranger)


def test_every_claim_is_checked_read_or_knowingly_ignored(platform: Platform) -> None:
    """The expressions read what is declared, the code checks the common ones, and the rest is named."""
    oidc = written()[platform.name]["oidc"]
    text = oidc["agent"] + oidc["require"]
    read = set(re.findall(r"claims\.([a-z_]+)", text)) | set(re.findall(r'claims\["([^"]+)"\]', text))
    assert read == platform.read
    assert platform.claims.keys() - CHECKED == platform.read | platform.ignored
    assert platform.read & platform.ignored == frozenset()


@pytest.mark.parametrize("issuer_url", SHARED)
@pytest.mark.parametrize(
    ("require", "told"),
    [
        (None, "`require` is missing"),
        ('claims.aud == "doorward"', "met by a stranger's token"),
        ('claims.sub != ""', "met by a stranger's token"),
        ("has(claims.sub)", "met by a stranger's token"),
    ],
)
def test_an_issuer_that_serves_everybody_needs_a_demand(issuer_url: str, require: str | None, told: str) -> None:
    """One that a stranger's token does not meet; the sentence names the claims that tell customers apart."""
    rule = {"issuer": issuer_url, "audience": "doorward", "agent": '"spiffe://a/" + segment(claims.sub)', "require": require}
    with pytest.raises(ValidationError) as caught:
        PROVIDERS["oidc"].config.model_validate({name: value for name, value in rule.items() if value is not None})
    assert told in str(caught.value)
    assert f"compare claims.{SHARED[issuer_url].owned[0]}" in str(caught.value)


def test_every_identity_of_the_guide_can_be_copied() -> None:
    """As it stands there."""
    found = written()
    assert found.keys() >= {"mesh", "mtls", "partners", "cluster", "actions", "pipelines", "partner", "host"}
    assert all(IdentityRule.model_validate(text).patterns for text in found.values())


def test_an_issuer_of_ones_own_needs_none() -> None:
    """A cluster, or a GitLab of a company: whatever it signs is ours."""
    for url in ("https://gitlab.acme.example", "https://token.actions.githubusercontent.com/acme"):
        rule = {"issuer": url, "audience": "doorward", "agent": '"spiffe://a/" + segment(claims.sub)'}
        assert PROVIDERS["oidc"].config.model_validate(rule)
