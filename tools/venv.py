"""Creates the development environment: `python3 tools/venv.py FOLDER`.

Standard library only, because it runs before anything is installed. Installs exactly what requirements.lock names, by hash
(see `make lock`); the project itself is not installed but found by PYTHONPATH, so that one environment serves every
clone of the same versions.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


def run(*command: str | Path, log: Path) -> None:
    """Runs a command with its output in `log`, saying every few seconds that it still runs."""
    started = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=subprocess.STDOUT)
        while True:
            try:
                code = process.wait(timeout=10)
                break
            except subprocess.TimeoutExpired:
                print(f"  ... {time.monotonic() - started:.0f} s", flush=True)
    if code:
        sys.stderr.write(log.read_text(errors="replace")[-4000:])
        sys.exit(f"{' '.join(map(str, command[:4]))} ... failed with {code}; the whole output is in {log}")


def ensure_venv_module(log: Path) -> None:
    """Debian splits ensurepip into a package of its own."""
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        if not shutil.which("apt-get") or os.geteuid() != 0:
            sys.exit(f"{sys.executable} lacks the venv module; install it (Debian: apt-get install python3-venv)")
        print("Installing python3-venv", flush=True)
        run("apt-get", "update", log=log)
        run("apt-get", "install", "-y", "--no-install-recommends", "python3-venv", log=log)


def main() -> None:
    if sys.version_info < OLDEST:
        sys.exit(f"genset needs Python {'.'.join(map(str, OLDEST))} or newer; this is {sys.version.split()[0]}")
    folder = Path(sys.argv[1])
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.parent / f"{folder.name}.log"
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two clones may ask for the same environment at once
        if (folder / ".ready").exists():
            (folder / ".ready").touch()
            return
        print(f"Creating the Python environment in {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        ensure_venv_module(log)
        run(sys.executable, "-m", "venv", folder, log=log)
        pip = folder / "bin" / "pip"
        options = ("--quiet", "--disable-pip-version-check", "--require-hashes")
        run(pip, "install", *options, "-r", ROOT / "requirements.lock", log=log)
        (folder / ".ready").touch()
        print("Created the Python environment", flush=True)


if __name__ == "__main__":
    main()
