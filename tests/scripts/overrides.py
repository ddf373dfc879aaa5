"""A sequence copier with an encoder and a decoder: overrides as Hydra has them, a.b=c."""

import sys
from dataclasses import dataclass, field, fields

import torch
from torch import nn


@dataclass
class Data:
    length: int = 20
    symbols: int = 30


@dataclass
class Model:
    hidden: int = 48
    layers: int = 2
    dropout: float = 0.1


@dataclass
class Train:
    batch_size: int = 32
    steps: int = 300
    lr: float = 0.1
    momentum: float = 0.9


@dataclass
class Config:
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    train: Train = field(default_factory=Train)


def configured(overrides):
    config = Config()
    for each in overrides:
        name, _, text = each.partition("=")
        group, _, key = name.partition(".")
        section = getattr(config, group, None)
        kinds = {} if section is None else {one.name: one.type for one in fields(section)}
        if key not in kinds:
            raise SystemExit(f"Could not override '{name}'")
        setattr(section, key, kinds[key](text))
    return config


class Copier(nn.Module):
    def __init__(self, symbols, model):
        super().__init__()
        self.embedding = nn.Embedding(symbols, model.hidden)
        sizes = (model.hidden, model.hidden, model.layers)
        self.encoder = nn.GRU(*sizes, dropout=model.dropout)
        self.decoder = nn.GRU(*sizes, dropout=model.dropout)
        self.out = nn.Linear(model.hidden, symbols)

    def forward(self, source, target):
        state = self.encoder(self.embedding(source))[1]
        return self.out(self.decoder(self.embedding(target), state)[0])


def run(config):
    data, train = config.data, config.train
    torch.manual_seed(3)
    model = Copier(data.symbols, config.model)
    optimizer = torch.optim.SGD(model.parameters(), lr=train.lr, momentum=train.momentum)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, train.steps)
    for step in range(train.steps):
        source = torch.randint(1, data.symbols, (data.length, train.batch_size))
        start = torch.zeros(1, train.batch_size, dtype=torch.long)
        logits = model(source, torch.cat([start, source[:-1]]))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), source.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.3f}")


if __name__ == "__main__":
    run(configured(sys.argv[1:]))
