"""A made-up text: sentences of a tiny grammar."""

import random

import torch

from . import config

SUBJECTS = ("the reader", "a compiler", "the cat", "some test")
VERBS = ("sees", "breaks", "mends", "likes")
OBJECTS = ("the page", "a loop", "its own tail", "nothing")


def text(length):
    rng = random.Random(5)
    sentences, size = [], 0
    while size < length:
        words = (rng.choice(SUBJECTS), rng.choice(VERBS), rng.choice(OBJECTS))
        sentences.append(" ".join(words) + ". ")
        size += len(sentences[-1])
    return "".join(sentences)[:length]


class Corpus:
    def __init__(self):
        written = text(config.CHARACTERS_PER_EPOCH)
        self.alphabet = sorted(set(written))
        ids = {character: number for number, character in enumerate(self.alphabet)}
        self.ids = torch.tensor([ids[character] for character in written])

    def batches(self):
        """Windows drawn at random, as many as one pass over the text needs."""
        for _ in range(len(self.ids) // (config.BATCH_SIZE * config.SEQ_LEN)):
            starts = torch.randint(len(self.ids) - config.SEQ_LEN - 1, (config.BATCH_SIZE, 1))
            windows = self.ids[starts + torch.arange(config.SEQ_LEN + 1)]
            yield windows[:, :-1], windows[:, 1:]
