"""The second half of ci/mutants-c: judges the mutants."""

import argparse
import concurrent.futures
import copy
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time

from mutations import mutants

# The tests of a mutant, each with its filter; the first that fails ends them. The kernel's
# own suite comes first, to measure it alone, then the quick ones.
TESTS = [
    ("kunit", []), ("lab", ["trace::"]), ("kernel", ["api::"]), ("kernel", ["faults::"]),
    ("lab", ["contract::"]), ("runtime", []), ("kernel", ["raw_findings::"]), ("no_heap", []),
    ("lab", ["lockstep::"]), ("gpu_buddy", []),
]  # fmt: skip
TORTURE = [
    ["torture", "--ops", "100000", "--seed", str(seed), *faults]
    for faults in ([], ["--faults", "0.02"])
    for seed in (1, 2, 3)
]
# Slow tests, which seldom detect a mutant.
LAST = [("kernel", ["extremes::"]), ("kernel", ["arguments::"])]
# Only with --torture: a longer search for the mutants that survived.
LONG = [["torture", "--seconds", "10"], ["torture", "--seconds", "10", "--faults", "0.02"]]

# What the names of the C's functions begin with, as in build/symbols.rs.
PREFIX = "gpu_buddy_kernel_"

# A fault that every run must see. If it is not seen, the mutants are not what is run.
OBVIOUS = (r"(int gpu_buddy_init\([^)]*\)\s*\{)", r"\1 return -ENOMEM;")

# The worker of a supervised torture stops if its standard input is closed.
NEVER_CLOSED, _KEPT_OPEN = os.pipe()

# In seconds, for tests that wait. Tests that compute are ended earlier, by the CPU time
# that they took on the unchanged file.
TIMEOUT = 600
MEMORY = 8 << 30

class Judge:
    """Compiles, links and runs."""

    def __init__(self, messages, links, folder):
        self.folder = folder
        self.executables = {}
        out = None
        for line in pathlib.Path(messages).read_text().splitlines():
            message = json.loads(line)
            if message["reason"] == "build-script-executed" and "path+file:" in message["package_id"]:
                out = pathlib.Path(message["out_dir"])
            elif message.get("executable"):
                test = message["profile"]["test"]
                name = message["target"]["name"] if test else "command"
                if "bin" not in message["target"]["kind"] or not test:
                    path = pathlib.Path(message["executable"])
                    self.executables[name] = links / path.name
        # Cargo names the finished command without its hash: it is the last of those left over.
        rest = {path for path in links.iterdir() if path.name.startswith("gpu_buddy-")}
        for path in self.test_links(messages):
            rest.discard(links / path)
        self.executables["command"] = max(rest, key=lambda path: path.stat().st_mtime)
        command = (out / "buddy.command").read_text().splitlines()
        source = command.index("-c") + 1
        self.original = pathlib.Path(command[source])
        self.compiler = command[: source - 1]
        # The build links all objects to one, in which only what Rust calls has a name.
        made = ("buddy.o", "whole.o", "local.o")
        self.others = [path for path in sorted(out.glob("*.o")) if path.name not in made]
        symbols = subprocess.run(
            ["nm", "--defined-only", "--extern-only", "--format=posix", out / "local.o"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        self.renames = []
        for line in symbols.splitlines():
            name = line.split()[0]
            self.renames.append(f"--redefine-sym={name.removeprefix(PREFIX)}={name}")
            self.renames.append(f"--keep-global-symbol={name}")
        self.linker = ["cc", *fast_linker()]
        self.object_digest = None
        # The CPU time of each run on the unchanged file, which is judged first.
        self.seconds = {}

    @staticmethod
    def test_links(messages):
        for line in pathlib.Path(messages).read_text().splitlines():
            message = json.loads(line)
            if message.get("executable") and message["profile"]["test"]:
                yield pathlib.Path(message["executable"]).name

    def compile(self, source):
        """The object's digest, or None."""
        path = self.folder / "drivers/gpu/buddy.c"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        command = [
            *self.compiler, f"-fmacro-prefix-map={self.folder}/=", "-c", path,
            "-o", self.folder / "buddy.o",
        ]  # fmt: skip
        if subprocess.run(command, capture_output=True).returncode:
            return None
        return hashlib.sha256((self.folder / "buddy.o").read_bytes()).hexdigest()

    def localise(self):
        """Makes one object of the mutant and the rest of the C, as the build does."""
        whole = ["cc", "-r", "-nostdlib", "-fno-lto", "-o", self.folder / "whole.o"]
        subprocess.run([*whole, self.folder / "buddy.o", *self.others], check=True)
        rename = ["objcopy", *self.renames, self.folder / "whole.o", self.folder / "local.o"]
        subprocess.run(rename, check=True)

    def fails(self, name, arguments):
        """How it fails, in a word; None if it passes."""
        executable = self.folder / name
        if not executable.exists():
            # The mutant comes first, so that the linker does not take the original.
            arguments_file = f"@{self.executables[name] / 'arguments'}"
            subprocess.run(
                [*self.linker, self.folder / "local.o", arguments_file, "-o", executable],
                check=True,
            )
        run = (name, *arguments)
        limits = {resource.RLIMIT_AS: MEMORY, resource.RLIMIT_CORE: 0}
        if run in self.seconds:
            limits[resource.RLIMIT_CPU] = 3 + int(4 * self.seconds[run])

        def limit():
            for kind, value in limits.items():
                resource.setrlimit(kind, (value, value))

        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            done = subprocess.run(
                [executable, *arguments],
                env={**os.environ, "CARGO_MANIFEST_DIR": os.getcwd(), "RUST_BACKTRACE": "0"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                stdin=NEVER_CLOSED,
                timeout=TIMEOUT,
                preexec_fn=limit,
            )
        except subprocess.TimeoutExpired:
            return "no end"
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.seconds.setdefault(run, taken)
        if -done.returncode in (signal.SIGXCPU, signal.SIGKILL):
            return "no end"
        if done.returncode < 0:
            return f"signal {-done.returncode}"
        return "failed" if done.returncode else None

    def beside(self, folder):
        """A copy with its own folder."""
        other = copy.copy(self)
        other.folder = folder
        folder.mkdir()
        return other

    def judge(self, source, torture_alone):
        """The test that kills it, and how; or `survived`, `same` or `invalid`."""
        for name in self.executables:
            (self.folder / name).unlink(missing_ok=True)
        digest = self.compile(source)
        if digest is None:
            return "invalid", ""
        if digest == self.object_digest:
            return "same", ""
        self.localise()
        # Without a supervisor, which would only shrink what kills the process.
        out = ["--out", self.folder, "--supervised", self.folder]
        runs = [("command", [*arguments, *out]) for arguments in TORTURE]
        if torture_alone:
            runs += [("command", [*arguments, *out]) for arguments in LONG]
        else:
            runs = TESTS + runs + LAST
        for name, arguments in runs:
            how = self.fails(name, arguments)
            if how:
                return arguments[0].removesuffix("::") if arguments else name, how
        return "survived", ""


def fast_linker():
    """The linker that comes with Rust, which is fast."""
    sysroot = subprocess.run(
        ["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True
    ).stdout.strip()
    for path in pathlib.Path(sysroot).glob("lib/rustlib/*/bin/gcc-ld"):
        return [f"-B{path}", "-fuse-ld=lld"]
    return []


def listed(page, source):
    """The mutants that the page calls equivalent, if it is about this source. It names
    them by line; the page on coverage names the file."""
    if not page.exists():
        return set()
    digest = hashlib.sha256(source.encode()).hexdigest()
    if f"sha256 {digest}" not in page.with_name("coverage.md").read_text():
        print(f"No mutant counts as equivalent, because {page} is about another buddy.c.")
        return set()
    rows = re.findall(r"^\| (\d+\.\d+) \| (.*?) \|", page.read_text(), re.MULTILINE)
    return {f"{place} {what}".replace("\\|", "|") for place, what in rows}


def main():
    parser = argparse.ArgumentParser(prog="ci/mutants-c")
    parser.add_argument("messages")
    parser.add_argument("links", type=pathlib.Path)
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("--sample", type=int, default=300, help="how many; 0 is all")
    parser.add_argument("--seed", type=int, default=1, help="decides which")
    parser.add_argument("--only", nargs="*", help="those at these places, such as 743.6")
    parser.add_argument("--minutes", type=float, default=0, help="stop after so many")
    parser.add_argument("--torture", action="store_true", help="judge by torture alone")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--list", action="store_true", help="print them and do nothing")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(options.messages, options.links, pathlib.Path(folder))
        source = judge.original.read_text()
        everything = mutants(source)
        chosen = everything
        if options.only is not None:
            chosen = [mutant for mutant in everything if mutant.place in options.only]
        elif options.sample:
            size = min(options.sample, len(everything))
            chosen = random.Random(options.seed).sample(everything, size)
        print(f"{len(chosen)} of {len(everything)} mutants of {judge.original}")
        if options.list:
            print(*chosen, sep="\n")
            return 0

        verdict = judge.judge(source, options.torture)
        if verdict[0] != "survived":
            print(f"The unchanged file fails: {verdict}")
            return 2
        planted, count = re.subn(*OBVIOUS, source)
        if count != 1 or judge.judge(planted, options.torture)[0] == "survived":
            print("A function that always fails was not noticed: mutants are not run.")
            return 2
        judge.object_digest = judge.compile(source)
        equivalent = listed(options.page, source)
        counts, unexplained = {}, 0
        started = time.monotonic()
        idle = [judge.beside(judge.folder / str(number)) for number in range(options.jobs)]

        def verdict_on(mutant):
            if options.minutes and time.monotonic() - started > 60 * options.minutes:
                return None
            judge = idle.pop()
            verdict = judge.judge(mutant.source, options.torture)
            idle.append(judge)
            return verdict

        pool = concurrent.futures.ThreadPoolExecutor(options.jobs)
        for number, (mutant, verdict) in enumerate(
            zip(chosen, pool.map(verdict_on, chosen)), 1
        ):
            if verdict is None:
                print(f"stopped after {number - 1}")
                break
            who, how = verdict
            if who == "survived" and str(mutant) in equivalent:
                who = "equivalent"
            counts[who] = counts.get(who, 0) + 1
            unexplained += who == "survived"
            print(f"{number} {mutant}: {who} {how}".rstrip(), flush=True)

    print(f"\n{time.monotonic() - started:.0f} s")
    for who, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{who:20}{count:6}")
    not_alive = sum(counts.get(who, 0) for who in ("invalid", "same", "equivalent"))
    alive = sum(counts.values()) - not_alive
    killed = alive - unexplained
    if alive:
        print(f"killed {killed} of {alive} that differ: {100 * killed / alive:.1f} %")
    if alive and not options.torture:
        print(f"by KUnit alone: {100 * counts.get('kunit', 0) / alive:.1f} %")
    return 1 if killed < 0.95 * alive else 0


if __name__ == "__main__":
    sys.exit(main())
