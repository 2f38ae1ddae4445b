"""What counts as a change of a configuration's files, and when they are taken to be whole."""

from pathlib import Path

import pytest

from gateway.settings.watch import Watch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams" / "a.yaml").write_text("a")
    main = tmp_path / "doorward.yaml"
    main.write_text("include: [teams/*.yaml]")
    return main


async def read(watch: Watch, patterns: tuple[str, ...] | None = ("teams/*.yaml",)) -> bool:
    return await watch.done(await watch.begin(), patterns)


async def test_what_was_read_is_left_alone(file: Path) -> None:
    """The first look reads once more what was read before there was a watch; then only changes count."""
    watch = Watch(file, ("teams/*.yaml",))
    assert [await watch.settled() for _ in range(2)] == [False, True]
    assert await read(watch)
    assert [await watch.settled() for _ in range(3)] == [False, False, False]


@pytest.mark.parametrize("change", ["write", "replace", "new", "gone", "link", "mode"])
async def test_every_change_counts_once_it_has_rested(file: Path, change: str) -> None:
    """In place, by another file of its name, by a file more or less, by a link, by permissions."""
    watch = Watch(file, ("teams/*.yaml",))
    assert await read(watch)
    team = file.parent / "teams" / "a.yaml"
    match change:
        case "write":
            team.write_text("b")
        case "replace":
            (file.parent / "aside").write_text("a")
            (file.parent / "aside").rename(team)
        case "new":
            (file.parent / "teams" / "b.yaml").write_text("b")
        case "gone":
            team.unlink()
        case "link":
            team.rename(file.parent / "elsewhere")
            team.symlink_to(file.parent / "doorward.yaml")
        case _:
            team.chmod(0o600)
    assert [await watch.settled() for _ in range(2)] == [False, True]
    assert await read(watch)
    assert not await watch.settled()


async def test_files_that_keep_changing_are_not_used(file: Path) -> None:
    """What changed between the beginning and the end of reading may be of two minds."""
    watch = Watch(file, ("teams/*.yaml",))
    began = await watch.begin()
    file.write_text("include: []")
    assert not await watch.done(began, ("teams/*.yaml",))
    assert not await watch.settled()
    assert await watch.settled()


async def test_other_patterns_are_looked_at_before_they_count_as_read(file: Path) -> None:
    """A file that a new pattern matches was not looked at when reading began."""
    watch = Watch(file, ())
    assert not await read(watch)
    assert await read(watch)
    (file.parent / "teams" / "b.yaml").write_text("b")
    assert [await watch.settled() for _ in range(2)] == [False, True]


async def test_a_mistake_in_a_file_that_is_new_is_watched_too(file: Path) -> None:
    """The main file names it already, though no good configuration ever had it."""
    watch = Watch(file, ())
    assert not await read(watch, None)
    assert await read(watch, None)
    (file.parent / "teams" / "a.yaml").write_text("mended")
    assert [await watch.settled() for _ in range(2)] == [False, True]
