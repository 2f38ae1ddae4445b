"""The Dockerfile, read and not built: what it copies exists, what it installs is pinned, what it runs has no rights."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from fakes.installation import Installation

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """Every instruction with its arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def test_every_source_exists_and_is_sent_to_the_builder() -> None:
    """What COPY names is in the repository and is let through by .dockerignore."""
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    named = [shlex.split(rest)[:-1] for name, rest in instructions() if name == "COPY" and not rest.startswith("--from")]
    sources = {source for words in named for source in words}
    assert sources == sent
    assert all((ROOT / source).exists() for source in sources)


def test_what_is_copied_is_enough_for_the_package(tmp_path: Path) -> None:
    """The very command of the image builds the package of the copied sources alone, as plain Python."""
    for source in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / source, tmp_path / source)
    shutil.copytree(ROOT / "gateway", tmp_path / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    command = next(part for _, rest in instructions() for part in rest.split("&&") if "--no-build-isolation" in part)
    flags = [word for word in shlex.split(command) if word.startswith("--no-")]
    target = tmp_path / "installed"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *flags, "--target", str(target), str(tmp_path)],
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    made = {file.relative_to(target) for file in target.rglob("*.py")}
    assert made == {file.relative_to(ROOT) for file in (ROOT / "gateway").rglob("*.py")}


def test_what_is_installed_is_pinned_by_digest() -> None:
    """Requirements come from the pinned file with digests required; the package itself brings nothing and asks no index."""
    installs = [part for name, rest in instructions() if name == "RUN" for part in rest.split("&&") if " install " in part]
    requirements, package, *_ = (part for part in installs if "pip install" in part)
    assert {"--require-hashes", "/src/requirements/server.txt"} <= set(requirements.split())
    assert {"--no-deps", "--no-build-isolation", "--no-index"} <= set(package.split())
    pins = (ROOT / "requirements/server.txt").read_text()
    assert all("==" in line for line in pins.splitlines() if re.match(r"[a-z0-9]", line))
    assert pins.count("==") <= pins.count("--hash=sha256:")


def test_the_final_image_builds_nothing_and_has_no_rights() -> None:
    """The last stage installs no package, runs as a user other than root, and keeps its state in a volume."""
    after = max(index for index, (name, _) in enumerate(instructions()) if name == "FROM")
    final = dict(instructions()[after:])
    assert final["USER"] not in ("root", "0")
    assert final["VOLUME"] == f"{final['WORKDIR']}/var"
    assert not re.search(r"\b(pip|apt-get|gcc)\b", final["RUN"])
    assert json.loads(final["ENTRYPOINT"])[-1].endswith("/doorward")
    assert json.loads(final["CMD"]) == ["serve"]


def test_the_health_check_tells_a_ready_doorward(installation: Installation) -> None:
    """It fails before Doorward runs and when it has stopped, and succeeds in between."""
    check = dict(instructions())["HEALTHCHECK"]
    command = [sys.executable, *json.loads(check[check.index("[") :])[1:]]

    def status() -> int:
        done = subprocess.run(command, cwd=installation.folder, capture_output=True, timeout=20, check=False)
        return done.returncode

    assert status() != 0
    installation.serve()
    assert status() == 0
    assert installation.end() == 0
    assert status() != 0
