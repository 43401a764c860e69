"""The pages tell the truth: links lead somewhere, commands and options exist, the two commands are there."""

import re
import subprocess
from pathlib import Path

import pytest
import typer

from piaccel import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "demo" / "README.md"])
COMMANDS = {command.name: command for command in typer.main.get_command(cli.build()).commands.values()}  # type: ignore[attr-defined]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_to_a_file_that_is_there(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_shows_exists_with_its_options(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^\$? *(?:\.venv/bin/)?piaccel +(.+)$", text, flags=re.MULTILINE):
        words = line.partition("#")[0].split()
        command = next((word for word in words if not word.startswith("-")), None)
        if command is None:
            continue
        assert command in COMMANDS, line
        known = {
            option for parameter in COMMANDS[command].params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for option in re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]*)", line):
            assert option in known | {"--help", "--verbose"}, f"{option} in: {line}"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_its_place_in_the_docs(command: str) -> None:
    page = "bundles" if command == "bundle" else command
    assert (ROOT / "docs" / f"{page}.md").is_file()
    assert f"piaccel {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_two_commands_and_make_has_them() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for command in ("make demo", "make test"):
        assert re.search(rf"^{command}\b", readme, flags=re.MULTILINE)
        assert command in listed
