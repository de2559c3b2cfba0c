"""`stormgym completion`: the script completes commands and options, in a shell that is there."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from stormgym.agents.completion import SHELLS, main, script

ASK = """
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMPREPLY=()
_tyro_stormgym 2>/dev/null
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def bash_script() -> str:
    return script("bash")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("stormgym tr", {"train"}),
        ("stormgym train --see", {"--seed", "--seeds"}),
        ("stormgym evaluate --episo", {"--episodes"}),
        ("stormgym plan --what", {"--what-if"}),
        ("stormgym data check --ki", {"--kind"}),
        ("stormgym data city --reg", {"--region-column", "--regions"}),
        ("stormgym report --ht", {"--html"}),
    ],
)
def test_bash__completes_commands_and_options(bash_script: str, words: str, expected: set[str]) -> None:
    asked = subprocess.run(
        ["bash", "-c", bash_script + ASK.format(words=words)], check=True, text=True, capture_output=True
    )
    assert set(asked.stdout.split()) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_script__of_every_shell_names_the_commands(shell: str) -> None:
    text = script(shell)
    assert all(name in text for name in ("train", "evaluate", "plan", "data", "report", "--seeds"))


def test_script__of_a_tyro_that_cannot_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise NotImplementedError("no fish")

    monkeypatch.setattr("tyro.cli", refuses)
    with pytest.raises(ValueError, match="writes no completion for fish: pip install --upgrade tyro"):
        script("fish")


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), ([], 2), (["bash", "zsh"], 2), (["powershell"], 2), (["zsh"], 0)]
)
def test_main__exit_codes(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == code
    said = capsys.readouterr()
    assert bool(said.out) == (code == 0)
    if words == ["powershell"]:
        assert "must be one of bash, zsh, fish; got 'powershell'" in said.err
