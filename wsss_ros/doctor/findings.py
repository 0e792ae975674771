"""A finding of the doctor: one line with its verdict. The status is 1 where one of them is a fault."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, and what was found. A note may be as it should be; a fault is not, and says what to do."""

    verdict: Verdict
    subject: str
    text: str

    def line(self) -> str:
        """The finding as one line of text."""
        return f"{self.verdict:<6}{self.subject:<14} {' '.join(self.text.split())}"


def status(findings: Iterable[Finding]) -> int:
    """Exit status: 1 if one of them is a fault, else 0."""
    return int(any(finding.verdict == "fault" for finding in findings))


def count(findings: Iterable[Finding]) -> str:
    """The numbers of faults and notes as a sentence."""
    verdicts = [finding.verdict for finding in findings]
    faults, notes = verdicts.count("fault"), verdicts.count("note")
    return f"{len(verdicts)} checks, {faults} fault{'s' * (faults != 1)}, {notes} note{'s' * (notes != 1)}"
