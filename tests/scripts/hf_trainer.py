"""A small recurrent model of one's own in the Trainer of transformers."""

import argparse
import tempfile

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments


class Parity(Dataset):
    def __init__(self, count, length):
        generator = torch.Generator().manual_seed(0)
        self.bits = torch.randint(0, 2, (count, length), generator=generator)

    def __len__(self):
        return len(self.bits)

    def __getitem__(self, index):
        bits = self.bits[index]
        return {"input_ids": bits, "labels": bits.cumsum(0) % 2}


class Model(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.embedding = nn.Embedding(2, hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 2)

    def forward(self, input_ids, labels=None):
        logits = self.out(self.lstm(self.embedding(input_ids))[0])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return {"loss": loss, "logits": logits}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--per_device_train_batch_size", type=int, default=32)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--max_steps", type=int, default=200)
    args = parser.parse_args()

    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="parity-"),
        per_device_train_batch_size=args.per_device_train_batch_size,
        max_steps=args.max_steps,
        learning_rate=2e-3,
        logging_steps=50,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
    )
    trainer = Trainer(model=Model(48), args=arguments, train_dataset=Parity(8192, args.length))
    trainer.train()


if __name__ == "__main__":
    main()
