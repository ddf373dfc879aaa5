"""Sequences of many lengths, packed by a collate function in forked DataLoader workers."""

import argparse

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset


class Walks(Dataset):
    """Random walks of up to *longest* steps, and whether each ended above zero."""

    def __init__(self, count, longest):
        self.count, self.longest = count, longest

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        length = int(torch.randint(self.longest // 2, self.longest + 1, (), generator=generator))
        steps = torch.randn(length, 4, generator=generator)
        return steps, float(steps.sum() > 0)


def collate(samples):
    sequences, labels = zip(*samples, strict=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return pad_sequence(sequences), lengths, torch.tensor(labels)


class Judge(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.lstm = nn.LSTM(4, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, padded, lengths):
        packed = pack_padded_sequence(padded, lengths, enforce_sorted=False)
        _, (last, _) = self.lstm(packed)
        return self.out(last[-1]).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--longest", type=int, default=40)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    torch.manual_seed(0)
    loader = DataLoader(
        Walks(args.samples, args.longest),
        args.batch_size,
        shuffle=True,
        drop_last=True,
        collate_fn=collate,
        num_workers=args.workers,
        multiprocessing_context="fork" if args.workers else None,
    )
    model = Judge(48)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(args.epochs):
        for padded, lengths, labels in loader:
            loss = nn.functional.binary_cross_entropy_with_logits(model(padded, lengths), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
