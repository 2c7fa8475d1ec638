"""Crashes and faults: what is lost when a process dies, the power fails or the disk does not do what it is told. `docs/faults.md`.

shim.c, shim.py    count, kill, fail, cut short and record the calls that change files
disk.py            from a record of calls: every state in which a power cut could leave the files
oracle.py          what is wrong with what is there after the restart
line.py            the way of an image from the receiver's last step to its row, in this process
apart.py           work done in a process of its own, which may die of it
engine.py          each point of that way tried, each in a process of its own
processes.py       real processes under the shim
receiver.py        the real receiver tried the same way
load.py            real processes killed at random while senders send
mutants.py         safeguards to leave out, to see whether the engine notices
command.py         scripts/faults as the tests start it
"""
