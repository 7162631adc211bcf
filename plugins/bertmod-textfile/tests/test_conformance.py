"""What bertmod asks of every task."""

from pathlib import Path

from bertmod.testing import conformance


def fill(folder: Path) -> None:
    """Two labels, a few short texts each."""
    texts = {"cold": "snow and ice", "warm": "sand and sun"}
    for split, count in (("train", 6), ("dev", 4)):
        for label, text in texts.items():
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                path = folder / split / label / f"{number}.txt"
                path.write_text(f"{text}, number {number}", encoding="utf-8")
    (folder / "test").mkdir()
    (folder / "test" / "a.txt").write_text("snow", encoding="utf-8")


test_task = conformance(
    "bertmod-textfile", configs={"textfile": [{"labels": ["warm", "cold"]}]}, data=fill
)
