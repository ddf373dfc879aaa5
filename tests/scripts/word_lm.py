"""A word language model: argparse, carried state, truncated BPTT, updates without an optimizer."""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser(description="Word language model")
parser.add_argument("--emsize", type=int, default=32, help="size of word embeddings")
parser.add_argument("--nhid", type=int, default=64, help="number of hidden units")
parser.add_argument("--nlayers", type=int, default=1)
parser.add_argument("--lr", type=float, default=5.0)
parser.add_argument("--clip", type=float, default=0.25)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--batch-size", type=int, default=20, metavar="N")
parser.add_argument("--bptt", type=int, default=35, help="sequence length")
parser.add_argument("--words", type=int, default=100_000, help="words in the made-up text")
parser.add_argument("--vocabulary", type=int, default=500)
parser.add_argument("--seed", type=int, default=1111)
args = parser.parse_args()

torch.manual_seed(args.seed)
EVAL_BATCH_SIZE = 10


class RNNModel(nn.Module):
    def __init__(self, vocabulary, emsize, nhid, nlayers):
        super().__init__()
        self.encoder = nn.Embedding(vocabulary, emsize)
        self.rnn = nn.LSTM(emsize, nhid, nlayers)
        self.decoder = nn.Linear(nhid, vocabulary)
        self.vocabulary = vocabulary
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)

    def forward(self, words, hidden):
        output, hidden = self.rnn(self.encoder(words), hidden)
        decoded = self.decoder(output).view(-1, self.vocabulary)
        return nn.functional.log_softmax(decoded, dim=1), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        shape = (self.rnn.num_layers, bsz, self.rnn.hidden_size)
        return weight.new_zeros(shape), weight.new_zeros(shape)


def made_up_text(length, vocabulary):
    """Each word is the last one plus a small step: there is order to learn."""
    return torch.randint(1, 8, (length,)).cumsum(0) % vocabulary


def batchify(data, bsz):
    nbatch = data.size(0) // bsz
    data = data.narrow(0, 0, nbatch * bsz)
    return data.view(bsz, -1).t().contiguous()


def repackage_hidden(h):
    """Wraps hidden states in new Tensors, to detach them from their history."""
    if isinstance(h, torch.Tensor):
        return h.detach()
    return tuple(repackage_hidden(v) for v in h)


def get_batch(source, i):
    seq_len = min(args.bptt, len(source) - 1 - i)
    return source[i : i + seq_len], source[i + 1 : i + 1 + seq_len].view(-1)


text = made_up_text(args.words, args.vocabulary)
train_data = batchify(text[: -args.words // 20], args.batch_size)
val_data = batchify(text[-args.words // 20 :], EVAL_BATCH_SIZE)
model = RNNModel(args.vocabulary, args.emsize, args.nhid, args.nlayers)
criterion = nn.NLLLoss()


def evaluate(source):
    model.eval()
    total = 0.0
    hidden = model.init_hidden(EVAL_BATCH_SIZE)
    with torch.no_grad():
        for i in range(0, source.size(0) - 1, args.bptt):
            data, targets = get_batch(source, i)
            output, hidden = model(data, hidden)
            total += len(data) * criterion(output, targets).item()
    return total / (len(source) - 1)


def train():
    model.train()
    total = 0.0
    hidden = model.init_hidden(args.batch_size)
    for i in range(0, train_data.size(0) - 1, args.bptt):
        data, targets = get_batch(train_data, i)
        model.zero_grad()
        hidden = repackage_hidden(hidden)
        output, hidden = model(data, hidden)
        loss = criterion(output, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-args.lr)
        total += loss.item() * len(data)
    return total / (len(train_data) - 1)


for epoch in range(1, args.epochs + 1):
    loss = train()
    val_loss = evaluate(val_data)
    print(f"epoch {epoch}: loss {loss:.2f}, ppl {math.exp(loss):.1f}, valid {val_loss:.2f}")
