"""python -m charlm.train"""

import torch
from torch import nn

from . import config
from .data import Corpus
from .model import CharModel


def main():
    torch.manual_seed(0)
    corpus = Corpus()
    model = CharModel(len(corpus.alphabet))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.LEARNING_RATE)
    for epoch in range(config.EPOCHS):
        for inputs, targets in corpus.batches():
            optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
