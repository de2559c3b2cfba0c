"""Build the sdist, and the wheel from it, so that the same source gives the same bytes anywhere.

    python .ci/build.py --outdir dist

Times of files are SOURCE_DATE_EPOCH (seconds since 1970), else that of the last commit; order, owners and modes of the
members do not depend on the machine. The bytes still depend on the versions of setuptools and zlib.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def epoch(source: Path) -> int:
    """Time of the files (s since 1970)."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    command = ["git", "-C", str(source), "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def normalise_sdist(file: Path, seconds: int) -> None:
    """Write a .tar.gz again: members by name, one time, no owner, modes by whether a file can be run."""
    with tarfile.open(file) as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.name)
        parts = [(member, archive.extractfile(member) if member.isfile() else None) for member in members]
        contents = [(member, stream.read() if stream is not None else None) for member, stream in parts]
    with file.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=seconds) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for member, content in contents:
                plain = tarfile.TarInfo(member.name)
                plain.type, plain.linkname, plain.size, plain.mtime = member.type, member.linkname, member.size, seconds
                plain.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                if content is None:
                    archive.addfile(plain)
                else:
                    with io.BytesIO(content) as stream:
                        archive.addfile(plain, stream)


def normalise_wheel(file: Path, seconds: int) -> None:
    """Write a wheel again: members by name (RECORD last), one time, modes 644."""
    date = time.gmtime(max(seconds, 315_532_800))[:6]  # a zip file knows no time before 1980
    with zipfile.ZipFile(file) as archive:
        names = sorted(archive.namelist(), key=lambda name: (name.endswith(".dist-info/RECORD"), name))
        contents = {name: archive.read(name) for name in names}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            member = zipfile.ZipInfo(name, date)
            member.compress_type, member.external_attr, member.create_system = zipfile.ZIP_DEFLATED, 0o100644 << 16, 3
            archive.writestr(member, content)


def main() -> int:
    """Build both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, default=ROOT / "dist")
    parser.add_argument("--source", type=Path, default=ROOT, help="root of the repository")
    parser.add_argument("--no-isolation", action="store_true", help="build with the setuptools that is installed")
    options = parser.parse_args()
    seconds = epoch(options.source)
    isolation = ["--no-isolation"] if options.no_isolation else []
    command = [sys.executable, "-m", "build", *isolation, "--outdir", str(options.outdir), str(options.source)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(seconds)}
    )
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
        return 1
    for file in sorted(options.outdir.iterdir()):
        if file.name.endswith(".tar.gz"):
            normalise_sdist(file, seconds)
        elif file.suffix == ".whl":
            normalise_wheel(file, seconds)
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
