"""Which lines of the product do inputs reach? gcov tells, on a replay of the corpora."""

import gzip
import json
import os
import shutil
import subprocess

from builds import ROOT

# What is ours to cover; not the targets themselves.
FOLDERS = ("base/", "broker/", "codec/", "io/", "trie/")


def replay(out, target, corpora, folder):
    """Runs all inputs once; the counts lie below `folder` afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    env = {**os.environ, "GCOV_PREFIX": folder, "TEST_UNDECLARED_OUTPUTS_DIR": folder}
    command = [os.path.join(out, target.name), "--runs=0"] + corpora
    subprocess.run(command, env=env, cwd=folder, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=600, check=False)


def data_files(folder):
    """All .gcda files below; their folders may be hidden ones, into which glob doesn't look."""
    for path, _, names in os.walk(folder):
        for name in sorted(names):
            if name.endswith(".gcda"):
                yield os.path.join(path, name)


def count(build_folder, folder):
    """{source: {line: was it reached}} of one replay."""
    found = {}
    for data in data_files(folder):
        # Notes lie where the compiler wrote them, data below GCOV_PREFIX at the same path.
        notes = os.path.join(build_folder, "work", "objects", os.path.basename(data)[:-5] + ".gcno")
        if not os.path.exists(notes):
            continue  # The driver's, which isn't ours to cover.
        shutil.copyfile(notes, data[:-5] + ".gcno")
        done = subprocess.run(["gcov", "--json-format", "--stdout", data], cwd=folder,
                              capture_output=True, check=False)
        text = done.stdout
        if text[:2] == b"\x1f\x8b":
            text = gzip.decompress(text)
        for document in text.splitlines():
            if document.strip():
                add_document(found, json.loads(document))
    return found


def add_document(found, document):
    for file in document["files"]:
        path = os.path.normpath(file["file"])
        if os.path.isabs(path):
            path = os.path.relpath(path, ROOT)
        if path.startswith(FOLDERS):
            lines = found.setdefault(path, {})
            for line in file["lines"]:
                number = line["line_number"]
                lines[number] = lines.get(number, False) or line["count"] > 0


def merge_counts(into, other):
    for path, lines in other.items():
        have = into.setdefault(path, {})
        for number, reached in lines.items():
            have[number] = have.get(number, False) or reached


def summary(found):
    """(lines reached, lines) of all files, and of each folder."""
    folders = {}
    for path, lines in found.items():
        folder = os.path.dirname(path)
        reached, total = folders.get(folder, (0, 0))
        folders[folder] = (reached + sum(lines.values()), total + len(lines))
    return (sum(r for r, _ in folders.values()), sum(t for _, t in folders.values())), folders
