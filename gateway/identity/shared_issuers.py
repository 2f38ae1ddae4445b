"""Issuers that serve everybody, and what a token of a stranger looks like there; knows no operator and verifies nothing.

Such an issuer signs for whoever has an account. What an operator demands of its tokens is tried on a stranger's at load: a
demand that a stranger meets is none. The claims are those that each platform documents; the stranger is made up.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class Shared(NamedTuple):
    """`owned` are claims that tell customers apart and that none of them can choose; `stranger` is a token of somebody else."""

    platform: str
    owned: tuple[str, ...]
    stranger: Mapping[str, Any]


_GITHUB: Final = Shared(
    "GitHub Actions",
    ("repository_owner_id", "repository_id", "enterprise_id"),
    {
        "iss": "https://token.actions.githubusercontent.com",
        "sub": "repo:stranger@900000001/stranger@900000002:ref:refs/heads/main",
        "aud": "doorward",
        "exp": 2_000_000_600,
        "iat": 2_000_000_000,
        "nbf": 2_000_000_000,
        "jti": "00000000-0000-0000-0000-000000000000",
        "actor": "stranger",
        "actor_id": "900000003",
        "base_ref": "",
        "check_run_id": "900000004",
        "enterprise": "stranger",
        "enterprise_id": "900000005",
        "environment": "production",
        "event_name": "push",
        "head_ref": "",
        "job_workflow_ref": "stranger/stranger/.github/workflows/agent.yml@refs/heads/main",
        "job_workflow_sha": "0" * 40,
        "ref": "refs/heads/main",
        "ref_protected": "true",
        "ref_type": "branch",
        "repository": "stranger/stranger",
        "repository_id": "900000002",
        "repository_owner": "stranger",
        "repository_owner_id": "900000001",
        "repository_visibility": "private",
        "run_attempt": "1",
        "run_id": "900000006",
        "run_number": "1",
        "runner_environment": "github-hosted",
        "sha": "0" * 40,
        "workflow": "agent",
        "workflow_ref": "stranger/stranger/.github/workflows/agent.yml@refs/heads/main",
        "workflow_sha": "0" * 40,
    },
)
_GITLAB: Final = Shared(
    "GitLab",
    ("namespace_id", "project_id"),
    {
        "iss": "https://gitlab.com",
        "sub": "project_path:stranger/stranger:ref_type:branch:ref:main",
        "aud": "doorward",
        "exp": 2_000_003_600,
        "iat": 2_000_000_000,
        "nbf": 1_999_999_995,
        "jti": "00000000-0000-0000-0000-000000000000",
        "ci_config_ref_uri": "gitlab.com/stranger/stranger//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": "0" * 40,
        "environment": "production",
        "environment_protected": "true",
        "job_id": "900000004",
        "namespace_id": "900000001",
        "namespace_path": "stranger",
        "pipeline_id": "900000005",
        "pipeline_source": "push",
        "project_id": "900000002",
        "project_path": "stranger/stranger",
        "project_visibility": "private",
        "ref": "main",
        "ref_path": "refs/heads/main",
        "ref_protected": "true",
        "ref_type": "branch",
        "runner_environment": "gitlab-hosted",
        "runner_id": 900_000_006,
        "sha": "0" * 40,
        "user_email": "stranger@stranger.example",
        "user_id": "900000003",
        "user_login": "stranger",
    },
)
_GOOGLE: Final = Shared(
    "Google",
    ("sub", "email"),
    {
        "iss": "https://accounts.google.com",
        "sub": "900000000000000000001",
        "aud": "doorward",
        "azp": "900000000000000000001",
        "email": "stranger@stranger.iam.gserviceaccount.com",
        "email_verified": True,
        "exp": 2_000_003_600,
        "iat": 2_000_000_000,
    },
)

SHARED: Final[Mapping[str, Shared]] = {str(shared.stranger["iss"]): shared for shared in (_GITHUB, _GITLAB, _GOOGLE)}
"""By the `iss` of its tokens. An issuer of a cluster, a company or an enterprise serves nobody else and is not here."""
