"""Several tenants in one configuration: what is whose, what is common, and what is told where the boundary would not hold."""

import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.authority.keys import SigningKey
from gateway.errors import ConfigurationError, DoorwardError
from gateway.settings.compile import compile_configuration
from gateway.settings.difference import difference, fixed_flaws
from gateway.settings.document import MOST_TENANTS
from gateway.settings.load import Loaded, load, load_text, still_holds

NOW = 1_796_000_000.0
MAIN = """version: 1
tenants:
  acme: {identities: [one], include: [acme.yaml]}
  globex: {identities: [two], include: [globex/*.yaml]}
authority: {listen: ["unix:authority.sock"]}
admin: {operators: [root]}
identities:
  one: {spiffe_jwt: {trust_domain: acme.example, bundle: {file: bundle.json}, audience: doorward}}
  two: {spiffe_jwt: {trust_domain: globex.example, bundle: {file: bundle.json}, audience: doorward}}
audit: {sinks: {local: {file: {path: audit.jsonl}, required: true}}}
"""
TENANT = """upstreams:
  api: {{url: "http://127.0.0.1:1", credential: key, networks: [127.0.0.0/8]}}
credentials:
  key:
    secret: {{file: {tenant}-secret}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: tests, reason: tests, expires: 2026-12-31, review_every: 30d, reviewed: 2026-11-20}}
intents:
  api.read: {{upstream: api, operations: [GET /]}}
grants:
  - {{name: all read, agents: ["spiffe://{tenant}.example/*"], intents: [api.read]}}
"""
(KEY,) = SigningKey(ec.generate_private_key(ec.SECP256R1())).jwks()["keys"]
BUNDLE = json.dumps({"keys": [{**{name: KEY[name] for name in ("kty", "crv", "x", "y", "kid")}, "use": "jwt-svid"}]})
HOW_TO = Path(__file__).parents[3] / "docs/how-to/serve-several-tenants.md"


def write(folder: Path, main: str = MAIN, **changes: str) -> Path:
    """The files of both, each with a change of text if it is named."""
    (folder / "globex").mkdir(exist_ok=True)
    (folder / "bundle.json").write_text(BUNDLE)
    for tenant, file in (("acme", "acme.yaml"), ("globex", "globex/api.yaml")):
        (folder / file).write_text(changes.get(tenant, TENANT.format(tenant=tenant)))
    file = folder / "doorward.yaml"
    file.write_text(main)
    return file


def flaws(file: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        compile_configuration(load(file, {}), NOW)
    return [str(flaw).replace(str(file.parent) + "/", "") for flaw in raised.value.flaws]


def test_each_tenant_has_a_configuration_of_its_own(tmp_path: Path) -> None:
    """With the common sections, its own identities and files, and its upstreams below its name."""
    loaded = load(write(tmp_path), {})
    assert {name: [*part.document.identities] for name, part in loaded.parts.items()} == {"acme": ["one"], "globex": ["two"]}
    assert loaded.document.tenant == ""
    assert not loaded.document.upstreams
    compiled = compile_configuration(loaded, NOW)
    prefixes = {name: upstream.prefix for name, upstream in compiled.upstreams.items()}
    assert prefixes == {"acme/api": "/acme/api", "globex/api": "/globex/api"}
    assert compiled.policy.view("spiffe://acme.example/x").grants == {}
    assert [*compiled.parts["acme"].policy.view("spiffe://acme.example/x").grants] == ["api.read"]
    assert compiled.parts["acme"].policy.view("spiffe://globex.example/x").grants == {}
    assert {part.digest for part in compiled.parts.values()} == {compiled.digest}


def test_relative_paths_begin_at_the_folder_of_the_tenants_file(tmp_path: Path) -> None:
    """As they do in every included file."""
    loaded = load(write(tmp_path), {})
    found = {name: part.resolver("credentials", "key")("s") for name, part in loaded.parts.items()}
    assert found == {"acme": tmp_path / "s", "globex": tmp_path / "globex/s"}


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("identities: [two]", "identities: [two, one]", "identity 'one' is of tenant 'acme' already"),
        ("identities: [two]", "identities: [three]", "there is no identity 'three'"),
        ("  two: {sp", "  three: {unix: {users: {root: spiffe://x.test/x}}, same_user: true}\n  two: {sp", "no tenant names"),
        ("trust_domain: globex.example", "trust_domain: acme.example", "identity 'one' of tenant 'acme' could vouch"),
        ("include: [globex/*.yaml]", "include: [globex/*.yaml, acme.yaml]", "tenant 'acme' includes acme.yaml too"),
        ("version: 1", "version: 1\ntenant: acme", "`tenant` and `tenants` do not stand together"),
        ("version: 1", "version: 1\nupstreams: {}", "with several tenants this belongs to one of them"),
        ("version: 1", "version: 1\ninclude: [acme.yaml]", "with several tenants this belongs to one of them"),
        (MAIN[MAIN.index("\n  acme:") : MAIN.index("\nauthority")], " {}", "name at least one tenant"),
        (", include: [acme.yaml]", "", "include"),
        ("include: [acme.yaml]", "include: [nowhere.yaml]", "there is no such file"),
    ],
)  # fmt: skip
def test_what_would_break_the_boundary_is_a_flaw(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    """Each with its place in the main file."""
    assert right in MAIN
    changed = MAIN.replace(right, wrong)
    globex = TENANT.format(tenant="acme" if "trust_domain: acme.example" in wrong else "globex")
    found = flaws(write(tmp_path, changed, globex=globex))
    assert [flaw for flaw in found if told in flaw and flaw.startswith("doorward.yaml:")], found


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("credential: key", "at: {prefix: /acme/api}, credential: key", "upstream 'api' of tenant 'acme' has this prefix too"),
        ("globex-secret", "../acme-secret", "this file holds a secret of another tenant"),
        ("spiffe://globex.example/*", "spiffe://acme.example/*", "no identity mints"),
        ("credential: key", "credential: their-key", "unknown credential"),
    ],
)
def test_a_tenants_file_refers_to_nothing_of_another(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    """Neither to places and secrets nor to agents and names."""
    text = TENANT.format(tenant="globex").replace(right, wrong)
    found = flaws(write(tmp_path, globex=text, acme=TENANT.format(tenant="acme")))
    assert [flaw for flaw in found if told in flaw and flaw.startswith("globex/api.yaml:")], found


def test_how_many_tenants_there_may_be_is_bounded(tmp_path: Path) -> None:
    """One more is a flaw."""
    more = "".join(f"  t{number}: {{identities: [one], include: [acme.yaml]}}\n" for number in range(MOST_TENANTS))
    found = flaws(write(tmp_path, MAIN.replace("authority:", more + "authority:", 1)))
    assert [flaw for flaw in found if str(MOST_TENANTS) in flaw]


def test_a_worker_reads_the_same_from_what_it_is_told(tmp_path: Path) -> None:
    """The files with their tenants, whatever has become of them on the disk."""
    loaded = load(write(tmp_path), {})
    told = {file: (text, loaded.owners[file]) for file, text in loaded.texts.items() if file != loaded.file}
    (tmp_path / "acme.yaml").unlink()
    again = load_text(loaded.texts[loaded.file], loaded.file, {}, included=told)
    assert compile_configuration(again, NOW).digest == compile_configuration(loaded, NOW).digest
    assert again.owners == loaded.owners


def test_a_change_is_told_of_its_tenant(tmp_path: Path) -> None:
    """And tenants neither come nor go while Doorward runs."""
    before = load(write(tmp_path), {})
    assert still_holds(before)
    after = load(write(tmp_path, globex=TENANT.format(tenant="globex").replace("GET /", "GET /x")), {})
    assert not still_holds(before)
    assert difference(before, after).changed == ("globex: intents.api.read.operations",)
    assert compile_configuration(before, NOW).digest != compile_configuration(after, NOW).digest
    main = MAIN.replace("  globex: {identities: [two], include: [globex/*.yaml]}\n", "").replace("[one]", "[one, two]")
    (flaw,) = fixed_flaws(after, load(write(tmp_path, main), {}))
    assert "'tenants' cannot change while doorward runs" in flaw.message


def test_a_command_about_one_tenant_wants_its_name(tmp_path: Path) -> None:
    """And says which there are."""
    loaded: Loaded = load(write(tmp_path), {})
    assert loaded.part("globex").document.tenant == "globex"
    for name in (None, "other"):
        with pytest.raises(DoorwardError, match="--tenant: acme, globex"):
            loaded.part(name)


def test_the_guides_configuration_can_be_used(tmp_path: Path) -> None:
    """Its files are written as it names them; globex has the same as acme."""
    blocks = re.findall(r"^```text\n# (\S+)\n(.*?)^```", HOW_TO.read_text(), re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == ["doorward.yaml", "tenants/acme/billing.yaml"]
    blocks.append(("tenants/globex/billing.yaml", blocks[1][1].replace("spiffe://acme", "spiffe://globex")))
    for name, text in blocks:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("acme.json", "globex.json"):
        (tmp_path / name).write_text(BUNDLE)
    compiled = compile_configuration(load(tmp_path / "doorward.yaml", {}), NOW)
    assert [upstream.prefix for upstream in compiled.upstreams.values()] == ["/acme/billing", "/globex/billing"]
