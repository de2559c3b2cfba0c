"""Run the code blocks of Markdown files, so that what a reader copies works.

    python .ci/readme_blocks.py README.md --show 1     print the first bash block
    python .ci/readme_blocks.py README.md docs/*.md --skip-first 2    run all others, each in a fresh process

Python blocks run in an empty folder of their own, bash blocks in the current one. A file runs in its order, for
later blocks read what earlier ones wrote; files run side by side (`--jobs`) and are printed when they are done.

A block of a language other than bash and python is left alone; so is one whose opening line says `no-run`.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
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


def run(file: Path, skip: int) -> tuple[int, str]:
    """Run the blocks of a file but its first `skip` bash blocks; return how many failed, and what they said."""
    failed, said = 0, []
    for language, code, line in blocks(file):
        if language == "bash" and skip:
            skip -= 1
            continue
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euo", "pipefail", "-c", code]
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as empty:
            where = empty if language == "python" else None
            done = subprocess.run(
                command,
                check=False,
                cwd=where,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                errors="replace",
                text=True,
            )
        said.append(f"--- {file}:{line} ({language}, {time.monotonic() - begin:.0f} s)\n{done.stdout}")
        if done.returncode:
            said.append(f"FAILED: {file}:{line}\n{code}\n")
            failed += 1
    return failed, "".join(said)


def main() -> int:
    """Show one block or run all; return the number that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--show", type=int, help="print the n-th bash block of the first file and stop")
    parser.add_argument("--skip-first", type=int, default=0, help="leave out the first n bash blocks of the first file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="files side by side")
    options = parser.parse_args()
    if options.show:
        bash = [code for language, code, _ in blocks(options.files[0]) if language == "bash"]
        print(bash[options.show - 1].strip())
        return 0
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        begun = [pool.submit(run, file, 0 if i else options.skip_first) for i, file in enumerate(options.files)]
        for done in as_completed(begun):
            count, said = done.result()
            print(said, end="", flush=True)
            failed += count
    return failed


if __name__ == "__main__":
    sys.exit(main())
