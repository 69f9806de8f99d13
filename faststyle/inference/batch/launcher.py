"""The processes (ranks) of ``python infer.py --devices N`` on one machine: started, watched, and ended.

Lightning starts processes too, but when one dies it kills itself with the others, and nothing is said.
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

GRACE = 15.0  # seconds to write what was stylized; who takes longer is killed
# Statuses of a rank: another one ended; all is done but what could not be read; it was asked to end.
LOST, INCOMPLETE, STOPPED = 3, 4, 130
PAUSE = 0.1
MOST = 2  # ranks for each processor: each takes much memory
# A rank as -m would start it, but that does not look for this package, or torch, where it is started.
RANK = "import sys; sys.path = [path for path in sys.path if path]; "
RANK += "from faststyle.cli.batch_worker import main; main()"


def are_started() -> bool:
    """Whether this process is a rank: of ours, of torchrun's or of SLURM's."""
    if "LOCAL_RANK" in os.environ:
        return True
    if not any(name.startswith("SLURM_") for name in os.environ):
        return False
    from lightning_fabric.plugins.environments import SLURMEnvironment

    return SLURMEnvironment.detect()


def environment(devices: int, nodes: int) -> dict[str, str]:
    """What Lightning's ranks find each other by.

    Raises:
        InputError: there are several machines, and it is not said which of them this is.
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
    """Run the command's ranks of this machine to their end, and print what they found.

    Args:
        options: The command's options, pickled, which each rank reads from its standard input.
        devices: Number of ranks on this machine.
        nodes: Number of machines.

    Returns:
        The exit status: 0, or 2 where pictures could not be read.

    Raises:
        InputError: these are too many ranks; or one was killed, or says what a person can mend: the others
            were ended then.
        KeyboardInterrupt: the command was asked to end; its ranks have written what was stylized.
    """
    most = MOST * (os.cpu_count() or 1)
    if devices > most:
        raise InputError(
            f"`devices` {devices} is too many for this machine: give at most {most}, {MOST} a processor"
        )
    variables = environment(devices, nodes)
    command = [sys.executable, "-c", RANK]
    ranks: list[subprocess.Popen[bytes]] = []
    statuses: list[int | None] = [None]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for number in range(devices):
            own = {**variables, "LOCAL_RANK": str(number)}
            pipe = subprocess.PIPE
            ranks.append(subprocess.Popen(command, env=own, stdin=pipe, stdout=pipe))
            give(ranks[-1], options)
        # Until all have ended, or one has before its time.
        while None in statuses and {*statuses} <= {None, 0, INCOMPLETE}:
            time.sleep(PAUSE)
            statuses = [rank.poll() for rank in ranks]
    finally:
        end(ranks)
    for number, status in enumerate(statuses):
        if status is not None and status < 0:
            if number == 0:
                print(file=sys.stderr)  # past the bar that it left
            raise InputError(
                f"process {number + 1} of {devices} was killed ({signal.Signals(-status).name}): "
                "the same command goes on with what is left"
            )
    if STOPPED in statuses:
        raise KeyboardInterrupt
    for status in (2, 1, LOST):
        if status in statuses:  # the first of them speaks for all; 1 has left a traceback
            if words := printed(ranks[statuses.index(status)]):
                raise InputError(words)
            return status
    if words := printed(ranks[0]):  # not on the machines that have not the first of all ranks
        print(words)
    return 2 if INCOMPLETE in statuses else 0


def give(rank: "subprocess.Popen[bytes]", options: bytes) -> None:
    """Write the options to a rank's standard input; one that has died is found dead later."""
    assert rank.stdin is not None
    with suppress(BrokenPipeError), rank.stdin as pipe:
        pipe.write(options)


def printed(rank: "subprocess.Popen[bytes]") -> str:
    assert rank.stdout is not None
    return rank.stdout.read().decode(errors="replace").strip()


def end(ranks: list["subprocess.Popen[bytes]"]) -> None:
    """Ask the ranks to end, and kill those that do not."""
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
    """Ask this process to end, and end it where it takes too long."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)
