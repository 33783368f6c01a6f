"""Runners: who does the tasks of stages, on this machine or on others, and where they put what they give."""

from regrow.engine.runners.crew import PHASES, Choice, Crew, crew
from regrow.engine.runners.location import Lending, borrowed
from regrow.engine.runners.runner import Here
from regrow.engine.runners.shelf import FolderShelf, Lost, Shelf
from regrow.engine.runners.work import Results, Some, Tasks, Whole, task_name

__all__ = [
    "PHASES",
    "Choice",
    "Crew",
    "FolderShelf",
    "Here",
    "Lending",
    "Lost",
    "Results",
    "Shelf",
    "Some",
    "Tasks",
    "Whole",
    "borrowed",
    "crew",
    "task_name",
]
