"""The pages that people read, README and docs/, and what stands in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = re.compile(r"^(?:python -m fedlayers|fedlayers|make run)(?:$| .*)")
FENCED = re.compile(r"^```.*?^```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One page, by its path below the repository."""

    name: str

    @property
    def text(self) -> str:
        return (ROOT / self.name).read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without blocks of code."""
        return FENCED.sub("", self.text)

    def blocks(self, *languages: str) -> list[str]:
        kinds = "|".join(languages)
        return re.findall(rf"^```(?:{kinds})\n(.*?)^```$", self.text, flags=re.MULTILINE | re.DOTALL)

    def lines(self) -> list[str]:
        """Return what is typed into a shell."""
        return "".join(self.blocks("bash", "sh")).replace("\\\n", " ").splitlines()

    def commands(self) -> list[str]:
        """Return the commands that start the main job."""
        return [line for line in self.lines() if COMMAND.match(line)]

    def write_files(self, folder: Path) -> None:
        """Write the files that the page shows, as a reader would: their first line is their path."""
        for block in self.blocks("python", "yaml"):
            if found := re.match(r"# (\S+\.(?:py|yaml))\n", block):
                file = folder / found[1]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block)


def words_of(command: str) -> list[str]:
    """Return the arguments of a command, those of ``make run ARGS="..."`` included."""
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        return shlex.split(words[2].removeprefix("ARGS=")) if len(words) > 2 else []
    return words[1:] if words[0] == "fedlayers" else words[3:]


README = Page("README.md")
PAGES = [README, *(Page(str(path.relative_to(ROOT))) for path in sorted((ROOT / "docs").rglob("*.md")))]
