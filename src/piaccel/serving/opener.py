"""Opens runners as a model's settings ask."""

from __future__ import annotations

from piaccel.serving.runner import Opening, Runner
from piaccel.serving.settings import ModelSettings


async def open_runner(opening: Opening, settings: ModelSettings, idle: bool) -> Runner:
    """Open a version; ``idle`` asks for one to look at, in a process of low priority whatever the settings say: a load
    in a thread disturbs requests tenfold. Raises what ``piaccel.load`` raises, CrashError, HangError.
    """
    if settings.isolation == "thread" and not idle:
        from piaccel.serving.inline import InlineRunner  # brings the runtimes' half in, 10 MB

        return await InlineRunner.open(opening)
    from piaccel.serving.process import ProcessRunner

    return await ProcessRunner.open(opening, hang_s=settings.hang_s, idle=idle)
