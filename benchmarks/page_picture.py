"""The picture of an interactive page in the docs: an evaluation of Restoration-v0, written as a page, in a browser.

Needs playwright and a Chromium of the system (Debian: apt-get install chromium).

    python -m benchmarks.page_picture --file docs/img/report_page.png
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro
from PIL import Image

from stormgym.agents.evaluation.command import run_evaluation
from stormgym.agents.usage import UsageError
from stormgym.predictors.extras import require

ARGUMENTS = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
COLOURS = 256
"""Of the picture's palette."""


@dataclass(frozen=True)
class Settings:
    """Which page is pictured, and how large."""

    file: Path = Path("docs/img/report_page.png")
    """Where the picture goes."""
    agents: str = "request-volume,nearest,tsp,repairman,equity-planner,sta-sac:default,clairvoyant-fair"
    """Names, as evaluate.py takes them."""
    episodes: int = 100
    """Scenarios of the evaluation."""
    frame: int = 40
    """Where the slider of the replay stands, 0 to 100."""
    width: int = 1280
    """Of the window in pixels."""
    height: int = 1560
    """Of the picture in pixels."""


def picture_of(page_file: Path, settings: Settings) -> Image.Image:
    """The upper part of a page with its replay at a frame.

    Raises:
        MissingExtraError: playwright is not installed.
        FileNotFoundError: there is no Chromium.
    """
    require("a picture of a page", "playwright", "dev")
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise FileNotFoundError("no Chromium on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS.split())
        page = browser.new_page(viewport={"width": settings.width, "height": settings.height})
        page.set_default_timeout(120_000)
        page.goto(page_file.resolve().as_uri())
        page.locator("#slider").evaluate(
            "(slider, frame) => { slider.value = frame; slider.dispatchEvent(new Event('input')); }", settings.frame
        )
        shot = page.screenshot()
        browser.close()
    return Image.open(io.BytesIO(shot)).convert("RGB")


def main(settings: Settings) -> None:
    """Evaluate, write the page, and write its picture."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        run_evaluation(
            env_id="Restoration-v0",
            agents=settings.agents,
            episodes=settings.episodes,
            seed=0,
            env_kwargs={},
            html_file=page,
            replays=1,
        )
        picture = picture_of(page, settings)
    settings.file.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(settings.file, optimize=True)
    print(f"{settings.file}: {settings.file.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    try:
        main(tyro.cli(Settings, description=__doc__))
    except (UsageError, OSError, ModuleNotFoundError) as error:
        sys.exit(f"error: {error}")
