"""What is wrong with a file, and what is to be written instead?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scim_server.protocol.errors import ScimError
from scim_server.protocol.wording import Text, in_language, say


class Unfit(Exception):
    """A cell cannot be read: the class of its value, and what to write instead. Never the value itself."""

    def __init__(self, value_class: str, advice: Text) -> None:
        super().__init__(value_class, advice)
        self.value_class = value_class
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Problem:
    """One error: its row, counting the header as 1, and its column as the file names it, "" for the whole row."""

    row: int
    column: str
    value_class: str
    advice: Text

    def body(self, language: str) -> dict[str, Any]:
        """Return the error as JSON, for people in a language."""
        return {
            "row": self.row,
            "column": self.column or None,
            "valueClass": self.value_class,
            "advice": in_language(self.advice, language),
        }

    def sentence(self) -> Text:
        """Return the error as one sentence."""
        if self.column:
            return say("Row {row}, {column}: {advice}", row=self.row, column=self.column, advice=self.advice)
        return say("Row {row}: {advice}", row=self.row, advice=self.advice)


class Refused(ScimError):
    """Refuse a whole file with every error that was found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        # The sort is stable: the errors of a row stay in the order of its columns.
        self.problems = sorted(problems, key=lambda problem: problem.row)
        first = self.problems[0].sentence()
        detail = (
            say("Nothing was changed; the file has {count} errors. {first}", count=len(problems), first=first)
            if len(problems) > 1
            else say("Nothing was changed. {first}", first=first)
        )
        super().__init__(400, detail, "invalidValue")

    def body(self, language: str = "en") -> dict[str, Any]:
        """Return the Error message with all errors beside it."""
        return super().body(language) | {"errors": [problem.body(language) for problem in self.problems]}
