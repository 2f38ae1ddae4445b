"""The reference page of the configuration is the one that the code would write."""

from pathlib import Path

from gateway.credentials.injectors import INJECTORS
from gateway.settings.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"
RENEW = (
    "renew it: python -c \"from gateway.settings.reference import reference; print(reference(), end='')\""
    " > docs/reference/configuration.md"
)


def test_the_committed_page_is_current() -> None:
    """Whoever changes a key changes its page."""
    assert PAGE.read_text() == reference(), RENEW


def test_variants_stand_with_their_examples_and_postures() -> None:
    """Each registry is listed from the registry itself."""
    page = reference()
    for name, kind in INJECTORS.items():
        _, _, rest = page.partition(f"\n### {name}\n")
        assert "```yaml\ninject:" in rest.split("\n### ")[0]
        assert kind.posture in rest
