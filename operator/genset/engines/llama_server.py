"""Programs that are llama-server, or one of its age, share how their flags are read and how they are drained."""

from __future__ import annotations

from genset.engines.base import ENDPOINT_REMOVAL_SECONDS, WorkMetrics

QUEUE_ALLOWANCE = 64  # connections beyond the slots that may wait without keeping /health from a thread
SPARE_HTTP_THREADS = 16  # probes, metrics, the operator

WORK = WorkMetrics(  # tools/server/server-task.cpp
    "/metrics",
    running=("llamacpp:requests_processing", "llamacpp:requests_deferred"),
    done=("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total", "llamacpp:n_decode_total"),
)


def flag_of(argument: str) -> str:
    """Returns the flag as llama.cpp reads it: `--no_ui` is `--no-ui` (common/arg.cpp). `--a=b` is cut."""
    flag = argument.strip().partition("=")[0]
    return flag.replace("_", "-") if flag.startswith("--") else flag


def drain_script(port: int, seconds: int) -> str:
    """Returns Bash that waits until llama-server is idle, at most `seconds` after the pod has left its Services.

    Bash's own /dev/tcp, because images of llama-server need not hold curl (Debian's does not; both it and
    llama.cpp's have bash). Idle: /metrics shows neither running nor waiting requests. A server that is gone or still
    loading has nothing to wait for. /metrics waits for the current batch, so silence means busy.
    """
    return f"""\
busy() {{
  exec 3<>/dev/tcp/127.0.0.1/{port} || return 1
  printf 'GET /metrics HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3
  IFS= read -r -t 10 line <&3 || return 0
  [[ $line == *' 200 '* ]] || return 1
  while IFS= read -r -t 10 line <&3; do
    [[ $line =~ ^llamacpp:requests_(processing|deferred)\\ +[1-9] ]] && return 0
  done
  return 1
}} 2>/dev/null
sleep {ENDPOINT_REMOVAL_SECONDS}
end=$((SECONDS + {seconds}))
while ((SECONDS < end)) && busy; do sleep 1; done
"""
