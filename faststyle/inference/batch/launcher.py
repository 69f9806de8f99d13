"""Start, watch and end the ranks of ``faststyle stylize --devices N`` on one machine.

Lightning can start ranks too, but when one dies it kills itself and the others without a message.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from faststyle.errors import InputError

GRACE = 15.0  # seconds for a rank to write stylized images before it is killed
# Exit statuses of a rank: another rank ended; some images failed; it was asked to end.
LOST, INCOMPLETE, STOPPED = 3, 4, 130
POLL_SECONDS = 0.1
MAX_RANKS_PER_CPU = 2  # each takes much memory
# Like -m, but without imports from the current folder.
RANK = "import sys; sys.path = [path for path in sys.path if path]; "
RANK += "from faststyle.cli.batch_worker import main; main()"


def is_rank() -> bool:
    """Return True where this process is a rank, started by us, by torchrun or by SLURM."""
    if "LOCAL_RANK" in os.environ:
        return True
    if not any(name.startswith("SLURM_") for name in os.environ):
        return False
    from lightning_fabric.plugins.environments import SLURMEnvironment

    return SLURMEnvironment.detect()


def rank_environment(devices: int, nodes: int) -> dict[str, str]:
    """Return the environment variables by which Lightning's ranks find each other.

    Raises:
        InputError: There are several machines, and variables for this one are missing.
    """
    names = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    missing = [name for name in names if name not in os.environ]
    if nodes > 1 and missing:
        raise InputError(
            f"`num_nodes` is {nodes}: start the command by torchrun or srun, or set {', '.join(missing)} on "
            "each machine"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        usual = ("127.0.0.1", str(free.getsockname()[1]), "0")
    path = os.pathsep.join([str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])])
    found = {name: os.environ.get(name, value) for name, value in zip(names, usual, strict=True)}
    return {**os.environ, **found, "WORLD_SIZE": str(devices * nodes), "PYTHONPATH": path}


def run(options: bytes, devices: int, nodes: int) -> int:
    """Run this machine's ranks to their end, and print their report.

    Args:
        options: The command's options, pickled, which each rank reads from its standard input.
        devices: Number of ranks on this machine.
        nodes: Number of machines.

    Returns:
        The exit status: 0, or 2 where images failed.

    Raises:
        InputError: The ranks are too many; or one was killed or reported an error, and the others were ended.
        KeyboardInterrupt: The command was asked to end; its ranks have written the stylized images.
    """
    max_ranks = MAX_RANKS_PER_CPU * (os.cpu_count() or 1)
    if devices > max_ranks:
        raise InputError(
            f"`devices` {devices} is too many for this machine: give at most {max_ranks}, "
            f"{MAX_RANKS_PER_CPU} a processor"
        )
    variables = rank_environment(devices, nodes)
    command = [sys.executable, "-c", RANK]
    ranks: list[subprocess.Popen[bytes]] = []
    statuses: list[int | None] = [None]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for number in range(devices):
            own = {**variables, "LOCAL_RANK": str(number)}
            pipe = subprocess.PIPE
            ranks.append(subprocess.Popen(command, env=own, stdin=pipe, stdout=pipe))
            send_options(ranks[-1], options)
        # Wait until all ranks have ended, or one has failed.
        while None in statuses and {*statuses} <= {None, 0, INCOMPLETE}:
            time.sleep(POLL_SECONDS)
            statuses = [rank.poll() for rank in ranks]
    finally:
        end_ranks(ranks)
    for number, status in enumerate(statuses):
        if status is not None and status < 0:
            if number == 0:
                print(file=sys.stderr)  # below the progress bar of rank 0
            raise InputError(
                f"process {number + 1} of {devices} was killed ({signal.Signals(-status).name}): "
                "the same command goes on with what is left"
            )
    if STOPPED in statuses:
        raise KeyboardInterrupt
    for status in (2, 1, LOST):
        if status in statuses:  # the first of them reports for all; 1 has left a traceback
            if message := output_of(ranks[statuses.index(status)]):
                raise InputError(message)
            return status
    if message := output_of(ranks[0]):  # only rank 0 of all machines reports
        print(message)
    return 2 if INCOMPLETE in statuses else 0


def send_options(rank: "subprocess.Popen[bytes]", options: bytes) -> None:
    """Write the options to a rank's standard input; a dead rank is noticed later."""
    assert rank.stdin is not None
    with suppress(BrokenPipeError), rank.stdin as pipe:
        pipe.write(options)


def output_of(rank: "subprocess.Popen[bytes]") -> str:
    """Return the text that a rank printed."""
    assert rank.stdout is not None
    return rank.stdout.read().decode(errors="replace").strip()


def end_ranks(ranks: list["subprocess.Popen[bytes]"]) -> None:
    """Send SIGTERM to the ranks, and kill those that do not end."""
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGTERM)]
    deadline = time.monotonic() + GRACE
    for rank in ranks:
        rank.terminate()
    for rank in ranks:
        try:
            rank.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            rank.kill()
            rank.wait()
    for number, handler in before:
        signal.signal(number, handler)


def end_self() -> None:
    """Send SIGTERM to this process, and exit where it takes too long."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)
