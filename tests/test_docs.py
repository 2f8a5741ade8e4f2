"""Documentation is code: what it shows runs, and what it links to exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.spec import load

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.S | re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_names_the_two_commands_and_all_pages():
    readme = (ROOT / "README.md").read_text()
    assert "make serve" in readme
    assert "make test" in readme
    for page in ROOT.glob("docs/*.md"):
        assert f"docs/{page.name}" in readme, page.name


def test_readme_names_every_command():
    from quorate.cli import COMMANDS

    readme = (ROOT / "README.md").read_text()
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", readme), command


def test_readme_configuration_is_valid():
    (text,) = blocks(ROOT / "README.md", "yaml")
    config = load(text, "README.md")
    assert config.spec.endpoints["iris"].policy.blind


@pytest.mark.slow
def test_readme_python_serves_an_endpoint(tmp_path):
    source, _client = blocks(ROOT / "README.md", "python")  # the client needs a server: tests/e2e/test_docs.py
    assert source.count("endpoint.serve()") == 1
    checked = source.replace("endpoint.serve()", CHECK)
    done = subprocess.run([sys.executable, "-c", checked], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert re.search(r"answered [012] by soft-vote", done.stdout), done.stdout
    assert (tmp_path / "quorate-iris" / "quorate.yaml").exists()


MADE = (
    "bag-a, bag-b, boost-1, boost-2, boost-3, iris-samme, iris-stacking",
    "line, forest, progression-stacked, progression-sure, progression-spread",
)


@pytest.mark.parametrize("number", range(len(MADE)))
def test_the_recipes_in_the_training_page_train(number, tmp_path):
    sources = blocks(ROOT / "docs" / "training.md", "python")
    assert len(sources) == len(MADE)
    command = [sys.executable, "-c", sources[number]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == MADE[number]


CHECK = """
import json, urllib.request
with endpoint.serve(port=0, control_port=0, block=False) as server:
    body = json.dumps({"instances": X_test[:1].tolist()}).encode()
    request = urllib.request.Request(
        f"{server.url}/v1/endpoints/iris/predict", body, {"content-type": "application/json"}
    )
    answer = json.load(urllib.request.urlopen(request))
    print("answered", answer["predictions"][0]["label"], "by", answer["strategy"])
"""
