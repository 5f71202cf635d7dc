"""One target under one engine for some time, and what that found.

Each program is started as the leader of a process group of its own; whatever is left of the group
at the end is ended, and nothing else.
"""

import glob
import hashlib
import os
import re
import shutil
import signal
import subprocess

RSS_MB = 2048
INPUT_SECONDS_MAX = 20
# An engine is given this long to come to its end by itself.
GRACE_SECONDS = 60
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "abort_on_error=1:symbolize=0:detect_leaks=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "abort_on_error=1:symbolize=0:print_stacktrace=0",
}


class Result:
    """What one run found."""

    def __init__(self, target, engine):
        self.target = target
        self.engine = engine
        self.executions = 0
        self.seconds = 0
        self.crashes = []  # Files.
        self.error = None  # Why there is no result.


def run_group(command, timeout, log, **kwargs):
    """Runs a program in its own process group; returns its code, or None if time was up."""
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, start_new_session=True, **kwargs)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def read_log(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def dictionary(out, target):
    path = os.path.join(out, target.name + ".dict")
    return path if os.path.exists(path) else None


def run_libfuzzer(out, target, seconds, folder, corpora, seed):
    """libFuzzer for some seconds; its corpus stays in `folder`/corpus."""
    result = Result(target.name, "libfuzzer")
    corpus = os.path.join(folder, "corpus")
    os.makedirs(corpus, exist_ok=True)
    artifacts = os.path.join(folder, "artifacts")
    os.makedirs(artifacts, exist_ok=True)
    log = os.path.join(folder, "log")
    command = [
        os.path.join(out, target.name), f"-max_total_time={seconds}", f"-max_len={target.len_max}",
        f"-rss_limit_mb={RSS_MB}", f"-timeout={INPUT_SECONDS_MAX}",
        f"-artifact_prefix={artifacts}/", "-print_final_stats=1", f"-seed={seed}",
        f"-entropic={int(target.entropic)}",
    ]
    words = dictionary(out, target)
    command += [f"-dict={words}"] if words else []
    code = run_group(command + [corpus] + corpora, seconds + GRACE_SECONDS, log, cwd=folder)
    text = read_log(log)
    for pattern in (r"stat::number_of_executed_units:\s*(\d+)", r"Done (\d+) runs"):
        match = re.search(pattern, text)
        result.executions = max(result.executions, int(match[1]) if match else 0)
    match = re.search(r"Done \d+ runs in (\d+) second", text)
    result.seconds = int(match[1]) if match else seconds
    result.crashes = sorted(glob.glob(os.path.join(artifacts, "*")))
    if not result.crashes and code != 0:
        result.error = f"libFuzzer ended with {code}: {text[-500:]}"
    return result


def run_afl(out, target, seconds, folder, corpora, seed):
    """AFL++ in persistent mode for some seconds; its queue stays in `folder`/out."""
    result = Result(target.name, "afl")
    seeds = os.path.join(folder, "seeds")
    os.makedirs(seeds, exist_ok=True)
    for corpus in corpora:
        for name in os.listdir(corpus):
            path = os.path.join(corpus, name)
            if 0 < os.path.getsize(path) <= target.len_max:
                shutil.copyfile(path, os.path.join(seeds, name))
    if not os.listdir(seeds):
        with open(os.path.join(seeds, "0"), "wb") as file:
            file.write(b"0")
    log = os.path.join(folder, "log")
    output = os.path.join(folder, "out")
    command = ["afl-fuzz", "-i", seeds, "-o", output, "-m", "none", "-V", str(seconds), "-s",
               str(seed), "-t", "5000", "-G", str(target.len_max)]
    words = dictionary(out, target)
    command += ["-x", words] if words else []
    env = {
        **os.environ, **SANITIZER_OPTIONS, "AFL_NO_UI": "1", "AFL_SKIP_CPUFREQ": "1",
        "AFL_NO_AFFINITY": "1", "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1",
        "AFL_FAST_CAL": "1", "AFL_NO_STARTUP_CALIBRATION": "1",
    }
    code = run_group(command + ["--", os.path.join(out, target.name)], seconds + GRACE_SECONDS, log,
                     cwd=folder, env=env)
    stats = os.path.join(output, "default", "fuzzer_stats")
    if os.path.exists(stats):
        fields = dict(re.findall(r"^(\w+)\s*: (.*)$", read_log(stats), re.MULTILINE))
        result.executions = int(fields.get("execs_done", 0))
        result.seconds = int(fields.get("run_time", seconds))
    for kind in ("crashes", "hangs"):
        found = glob.glob(os.path.join(output, "default", kind, "id*"))
        result.crashes += sorted(found)
    if result.executions == 0:
        result.error = f"afl-fuzz ended with {code}: {read_log(log)[-700:]}"
    return result


ENGINES = {"libfuzzer": run_libfuzzer, "afl": run_afl}


def found_in(folder):
    """What both engines found for a target in this run: folders."""
    found = [os.path.join(folder, "libfuzzer", "corpus")]
    found += glob.glob(os.path.join(folder, "afl", "out", "*", "queue"))
    return [path for path in found if os.path.isdir(path)]


def signature(text):
    """What makes two crashes one: the assertion, or the kind of error and the place."""
    for pattern in (r"[\w./-]+:\d+: broken invariant: [^\n]*",
                    r"[\w./-]+:\d+:\d+: runtime error: [^\n]*",
                    r"SUMMARY: [^\n]*", r"ERROR: \w+: [\w-]+"):
        match = re.search(pattern, text, re.IGNORECASE)
        if match:
            return re.sub(r"0x[0-9a-f]+", "0x", match[0])
    return "unknown"


def reproduce(out, target, path, folder):
    """Runs one input; returns (did it fail, what libFuzzer said)."""
    log = os.path.join(folder, "reproduce.log")
    command = [os.path.join(out, target.name), f"-rss_limit_mb={RSS_MB}",
               f"-timeout={INPUT_SECONDS_MAX}", path]
    code = run_group(command, INPUT_SECONDS_MAX + GRACE_SECONDS, log, cwd=folder)
    return code != 0, read_log(log)


def minimize(out, target, path, folder, seconds):
    """The smallest input that fails as `path` does; `path` itself if none was found."""
    smaller = os.path.join(folder, "minimized-" + os.path.basename(path).replace(":", "-")[:60])
    command = [os.path.join(out, target.name), "-minimize_crash=1", f"-max_total_time={seconds}",
               f"-exact_artifact_path={smaller}", f"-rss_limit_mb={RSS_MB}", path]
    run_group(command, seconds + GRACE_SECONDS, os.path.join(folder, "minimize.log"), cwd=folder)
    if os.path.exists(smaller) and os.path.getsize(smaller) <= os.path.getsize(path):
        return smaller
    return path


def report_crashes(out, target, result, folder, seconds):
    """Each kind of crash once: its signature, the engine and a minimised input."""
    found = {}
    for path in result.crashes:
        failed, text = reproduce(out, target, path, folder)
        name = signature(text) if failed else "not reproduced by libFuzzer's build"
        if name in found:
            found[name]["count"] += 1
            continue
        smallest = minimize(out, target, path, folder, seconds) if failed else path
        with open(smallest, "rb") as file:
            data = file.read()
        kept = os.path.join(folder, "crash-" + hashlib.sha1(data).hexdigest()[:12])
        shutil.copyfile(smallest, kept)
        found[name] = {
            "target": target.name, "engine": result.engine, "what": name, "count": 1,
            "input": kept, "bytes": len(data), "hex": data[:256].hex(),
        }
    return list(found.values())


def merge(out, target, into, sources, seconds_max, edges_alone=False):
    """Adds to `into` those inputs of `sources` that reach something new.

    New is an edge, or one that is taken more often, unless `edges_alone`.
    """
    os.makedirs(into, exist_ok=True)
    folder = os.path.dirname(into)
    command = [os.path.join(out, target.name), "-merge=1", f"-max_len={target.len_max}",
               f"-rss_limit_mb={RSS_MB}", f"-timeout={INPUT_SECONDS_MAX}",
               f"-use_counters={int(not edges_alone)}", into] + sources
    return run_group(command, seconds_max, os.path.join(folder, "merge.log"), cwd=folder) == 0


def edges(out, target, corpora, folder):
    """libFuzzer's count of edges (and features) that the corpora reach, without new inputs."""
    log = os.path.join(folder, "edges.log")
    command = [os.path.join(out, target.name), "-runs=0", f"-rss_limit_mb={RSS_MB}"] + corpora
    run_group(command, 300, log, cwd=folder)
    counts = re.findall(r"cov: (\d+) ft: (\d+)", read_log(log))
    return (int(counts[-1][0]), int(counts[-1][1])) if counts else (0, 0)
