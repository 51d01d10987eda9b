"""Compiles the router in place: `python tools/compiled.py FOLDER`, where FOLDER holds the package `genset`.

mypyc turns the typed modules of the data plane into C; beside each source lies then an extension module, which Python
prefers. The sources stay what people read and what runs where nothing was compiled. Runs on the Python that the result
is for; needs that Python's headers, a C compiler, and the dependency group `compile`. See docs/adr/0007.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import sysconfig
from pathlib import Path

#: Not on the way of a request, and each would cost something: pydantic's models and `ssl.SSLContext` cannot be compiled
#: subclasses; `compiled` is for what is not compiled; the others are start-up, administration and tasks, which only wait.
LEFT = {
    "accept", "adapter_watch", "admin", "admission", "advice", "asking", "budget_metrics", "collector_way", "compiled",
    "connect", "consumer_metrics", "credentials", "drill_keeper", "exposition", "faulty_connector", "key_set", "key_set_watch",
    "ledger_sender", "listener_tls", "outage_watch", "peer_watch", "reload", "run", "sense_watch", "server_watch",
    "standalone", "tokens", "tracing", "wanted", "wire", "world",
}  # fmt: skip
OPTIONS = """\
[mypy]
strict = true
explicit_package_bases = true
namespace_packages = true
[mypy-{missing}]
ignore_missing_imports = true
follow_imports = skip
[mypy-genset.api.*,genset.contracts.*]
ignore_errors = true
"""
#: What is compiled is one shared object that nobody links to. Told so, the compiler may put its functions into one
#: another and call them without the linker's table: 6 % less CPU per request.
FLAGS = ("-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt")
#: Half of the code that mypyc writes is ways out of errors, one behind each call. What leads to one of these functions is
#: cold: it is put into a section of its own, so that what a request runs through lies on fewer pages.
COLD = """\
#include "CPy.h"
#define COLD __attribute__((cold))
COLD void CPyError_OutOfMemory(void);
COLD void CPy_TypeError(const char *expected, PyObject *value);
COLD void CPy_AddTraceback(const char *filename, const char *funcname, int line, PyObject *globals);
COLD void CPy_TypeErrorTraceback(
    const char *filename, const char *funcname, int line, PyObject *globals, const char *expected, PyObject *value);
COLD void CPy_AttributeError(
    const char *filename, const char *funcname, const char *classname, const char *attrname, int line, PyObject *globals);
"""
MISSING = ("fasttext.*", "httptools.*", "uvloop.*", "re2.*", "huggingface_hub.*")


def modules(folder: Path) -> list[str]:
    """Paths of what is compiled, relative to the folder."""
    found = [*(folder / "genset/router").rglob("*.py"), *(folder / "genset/pricing").glob("*.py")]
    return sorted(str(path.relative_to(folder)) for path in found if path.stem not in LEFT)


def compile_in_place(folder: Path, interpreter: str) -> None:
    """`interpreter`: the Python whose site-packages hold what the package needs. Raises SystemExit."""
    from mypyc.build import mypycify
    from setuptools import setup

    os.chdir(folder)
    build = Path("build")
    build.mkdir(exist_ok=True)
    options = build / "mypy.ini"
    options.write_text(OPTIONS.format(missing=",".join(MISSING)))
    os.environ["MYPYPATH"] = "."
    os.environ["CFLAGS"] = " ".join((os.environ.get("CFLAGS", ""), *FLAGS))
    flags = ["--config-file", str(options), "--python-executable", interpreter]
    extensions = mypycify([*flags, *modules(Path())], opt_level="3", debug_level="0", target_dir=str(build / "c"))
    (build / "cold.h").write_text(COLD)
    for extension in extensions:
        if any("__native" in source for source in extension.sources):  # the others only load it
            extension.extra_compile_args = [*extension.extra_compile_args, "-include", str(build / "cold.h")]
    setup(
        name="genset-router",
        ext_modules=extensions,
        script_args=["--quiet", "build_ext", "--inplace", "--build-temp", str(build / "temp")],
    )


def missing() -> str:
    """What this machine lacks to compile, and how to get it; "" if it lacks nothing."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return f"{header} is missing: install the headers of this Python (Debian: apt-get install python3-dev)"
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        return "there is no C compiler: install one (Debian: apt-get install gcc libc6-dev)"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the package `genset` lies")
    parser.add_argument("--packages-of", default=sys.executable, help="Python that has the project's dependencies")
    given = parser.parse_args()
    if not (given.folder / "genset/router").is_dir():
        sys.exit(f"{given.folder} holds no package genset: name the folder above it")
    if lacking := missing():
        sys.exit(lacking)
    compile_in_place(given.folder, given.packages_of)


if __name__ == "__main__":
    main()
