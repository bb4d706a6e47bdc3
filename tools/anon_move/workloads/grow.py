#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Work that grows buffers: received bytes, columns of numbers, an index, JSON. Prints
how many VMAs without a file it has at its end.

With --fork a child that has the state of then lives on for ten rounds while the parent goes on, as where a program
saves snapshots; the child checks that it was left alone.
"""
import io
import json
import os
import sys

ROUNDS, RECEIVED, COLUMN = 200, 4096, 500


def as_after(buffers, columns, rounds):
    """Is all as it must be after so many rounds?"""
    for i, buffer in enumerate(buffers):
        if buffer != b"".join(bytes([(r + i) & 255]) * RECEIVED for r in range(rounds)):
            return False
    return all(column == list(range(rounds * COLUMN)) for column in columns)


def snapshot(buffers, columns, rounds):
    """Returns what ends the child, and the child."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(write)
        os.read(read, 1)
        os._exit(0 if as_after(buffers, columns, rounds) else 1)
    os.close(read)
    return write, child


def end(write, child):
    os.close(write)
    if os.waitpid(child, 0)[1]:
        sys.exit("a child found its snapshot changed")


def grow(forks):
    buffers = [bytearray() for _ in range(16)]
    columns = [[] for _ in range(8)]
    child = None
    for r in range(ROUNDS):
        if forks and r % 20 == 10:
            child = snapshot(buffers, columns, r)
        if child and r % 20 == 0:
            end(*child)
            child = None
        for i, buffer in enumerate(buffers):
            buffer += bytes([(r + i) & 255]) * RECEIVED
        for column in columns:
            column.extend(range(r * COLUMN, (r + 1) * COLUMN))
    if child:
        end(*child)
    return buffers, columns


def encode():
    index = {"key %d" % i: i for i in range(20000)}
    text = io.StringIO()
    json.dump(index, text)
    raw = io.BytesIO()
    for piece in json.JSONEncoder().iterencode(index):
        raw.write(piece.encode())
    return index == json.loads(text.getvalue()) == json.loads(raw.getvalue().decode())


held = grow("--fork" in sys.argv[1:])
if not encode() or not as_after(*held, ROUNDS):
    sys.exit("what was built is not what it must be")
with open("/proc/self/maps") as maps:
    print(sum(line.split()[4] == "0" for line in maps))
