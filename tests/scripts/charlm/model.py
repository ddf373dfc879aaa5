"""The network."""

from torch import nn

from .config import HIDDEN


class CharModel(nn.Module):
    def __init__(self, characters):
        super().__init__()
        self.embedding = nn.Embedding(characters, HIDDEN)
        self.rnn = nn.RNN(HIDDEN, HIDDEN, num_layers=2, batch_first=True)
        self.out = nn.Linear(HIDDEN, characters)

    def forward(self, inputs):
        return self.out(self.rnn(self.embedding(inputs))[0])
