"""Run the code blocks of Markdown files, so that what a reader copies works.

    python .ci/readme_blocks.py README.md --show 1     print the first bash block
    python .ci/readme_blocks.py README.md docs/*.md --skip-first 2    run all others, each in a fresh process

Python blocks run in an empty folder of their own, bash blocks in the current one.

A block of a language other than bash and python is left alone; so is one whose opening line says `no-run`.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^```(?P<language>bash|python)(?P<note>[^\n]*)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(file: Path) -> list[tuple[str, str, int]]:
    """Language, code and line of every block to run."""
    text = file.read_text(encoding="utf-8")
    return [
        (m["language"], m["code"], text[: m.start()].count("\n") + 1)
        for m in BLOCK.finditer(text)
        if "no-run" not in m["note"]
    ]


def main() -> int:
    """Show one block or run all; return the number that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--show", type=int, help="print the n-th bash block of the first file and stop")
    parser.add_argument("--skip-first", type=int, default=0, help="leave out the first n bash blocks of the first file")
    options = parser.parse_args()
    if options.show:
        bash = [code for language, code, _ in blocks(options.files[0]) if language == "bash"]
        print(bash[options.show - 1].strip())
        return 0
    failed = 0
    for file in options.files:
        skipped = 0
        for language, code, line in blocks(file):
            if file == options.files[0] and language == "bash" and skipped < options.skip_first:
                skipped += 1
                continue
            command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euo", "pipefail", "-c", code]
            print(f"--- {file}:{line} ({language})", flush=True)
            with tempfile.TemporaryDirectory() as empty:
                where = empty if language == "python" else None
                code_of_exit = subprocess.run(command, check=False, cwd=where).returncode
            if code_of_exit:
                print(f"FAILED: {file}:{line}\n{code}", flush=True)
                failed += 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
