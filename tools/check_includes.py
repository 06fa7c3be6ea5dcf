#!/usr/bin/env python3
"""Holds every include to the table of rooms: an arrow is the only permitted direction.

    tools/check_includes.py [--root DIR]

Also: a quoted include names an existing file by its path from the root, a header starts with
`#pragma once`, and a header of ours never pulls in a heavy third-party template library.
"""
import argparse
import pathlib
import re
import sys

# room -> rooms that its files may include (besides their own). The longest matching folder is a
# file's room.
ROOMS = {
    "engine/core": [],
    "kernels": ["engine/core"],
    "engine/pickle": ["engine/core"],
    "models": ["engine/core", "engine/pickle"],
    "engine/image": ["engine/core"],
    "engine/data": ["engine/core", "engine/image", "engine/pickle"],
    "engine/report": ["engine/core"],
    "engine/http": ["engine/core"],
    "engine/payload": ["engine/core", "engine/image"],
    "engine/infer": ["engine/core", "kernels", "models"],
    "engine/serve": ["engine/core", "engine/http", "engine/infer", "engine/payload", "models"],
    "engine/comm": ["engine/core"],
    "engine/train": ["engine/core", "engine/comm", "engine/data", "kernels", "models"],
    "apps": ["engine", "kernels", "models"],
    "examples": ["engine", "models"],
    "bench": ["engine", "kernels", "models", "apps", "tests"],
    "tests": ["engine", "kernels", "models", "apps", "bench", "examples"],
}
SUFFIXES = {".h", ".cpp", ".cu", ".cuh"}
HEAVY = re.compile(r"^(nlohmann/(?!json_fwd\.hpp)|boost/|CLI/|toml\+\+/|oneapi/|dnnl)")
# Headers of one program whose subject is such a library's: a job of SageMaker is JSON.
HEAVY_HEADERS = {"apps/sagemaker-train/job.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
BLOCK_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def room_of(path: str) -> str | None:
    """The room of a file given by its path from the root."""
    return max((r for r in ROOMS if path.startswith(r + "/")), key=len, default=None)


def permitted(source_room: str, target: str) -> bool:
    target_room = room_of(target)
    if target_room == source_room:
        return True
    return any(target.startswith(folder + "/") for folder in ROOMS[source_room])


def check_file(root: pathlib.Path, path: str) -> list[str]:
    text = BLOCK_COMMENT.sub("", (root / path).read_text(encoding="utf-8"))
    room = room_of(path)
    is_header = path.endswith((".h", ".cuh"))
    faults = []
    if is_header and "#pragma once" not in text:
        faults.append(f"{path}: a header without #pragma once")
    for quoted, angled in INCLUDE.findall(text):
        if angled:
            light = path.startswith(("tests/", "bench/")) or path in HEAVY_HEADERS
            if is_header and not light and HEAVY.match(angled):
                faults.append(f"{path}: <{angled}> belongs in a .cpp file, not in a header")
        elif not (root / quoted).is_file():
            faults.append(f'{path}: "{quoted}" is no file when read from the root')
        elif not permitted(room, quoted):
            faults.append(f'{path}: "{quoted}": {room} may not include {room_of(quoted) or "that"}')
    return faults


def check(root: pathlib.Path) -> tuple[int, list[str]]:
    file_count, faults = 0, []
    for top in sorted({room.split("/")[0] for room in ROOMS}):
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in SUFFIXES:
                continue
            path = file.relative_to(root).as_posix()
            if room_of(path) is None:
                faults.append(f"{path}: its folder is no room; add it to ROOMS in {__file__}")
                continue
            file_count += 1
            faults += check_file(root, path)
    return file_count, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    file_count, faults = check(root)
    for fault in faults:
        print(fault)
    print(f"check_includes: {file_count} files, {len(faults)} faults")
    if file_count == 0:
        print("check_includes: found no source file; wrong --root?")
    return 1 if faults or file_count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
