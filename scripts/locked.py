"""Whether the lock files are in step with what they lock: every requirement pinned, every pin hashed, no address, one version of each."""

import re
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HERE = Path(__file__).parents[1] / "requirements"


def wanted(name: str) -> list[Requirement]:
    """The requirements of NAME.in and of those it includes."""
    found: list[Requirement] = []
    for line in (HERE / f"{name}.in").read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            found += wanted(text.removeprefix("-r ").removesuffix(".in").strip())
        elif text:
            found.append(Requirement(text))
    return found


def pinned(name: str) -> tuple[dict[str, Version], list[str]]:
    """The versions in NAME.txt, and what is wrong with its form."""
    versions: dict[str, Version] = {}
    faults: list[str] = []
    for entry in re.sub(r"\\\n\s*", "", (HERE / f"{name}.txt").read_text()).splitlines():
        if not entry.strip() or entry.lstrip().startswith("#"):
            continue
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", entry)
        if match is None or "--hash=sha256:" not in entry or "://" in entry:
            faults.append(f"{name}.txt: not one exact version with hashes and no address: {entry[:60]}")
        else:
            versions[canonicalize_name(match[1])] = Version(match[2])
    return versions, faults


def main() -> int:
    faults: list[str] = []
    everything, _ = pinned("test")
    for name in ("build", "run", "test"):
        versions, found = pinned(name)
        faults += found
        for requirement in wanted(name):
            version = versions.get(canonicalize_name(requirement.name))
            if version is None or version not in requirement.specifier:
                faults.append(f"{name}.txt does not lock {requirement}; run scripts/lock")
        faults += [f"{name}.txt and test.txt differ on {key}; run scripts/lock" for key in versions if versions[key] != everything.get(key)]
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
