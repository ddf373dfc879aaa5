"""A plain training script: a word model on made-up text.  It knows nothing of rnnprof.

    rnnprof max-batch -T 35,70 --memory-limit 512MiB -- \
        python examples/train_script.py --batch-size {batch} --bptt {time_steps}
    python examples/train_script.py      (trains it and prints its loss)
"""

import argparse

import torch
from torch import nn

VOCABULARY = 1000


def made_up_text(words: int) -> torch.Tensor:
    """Every fourth word is random, the others follow from the one before: 1.73 nats a word."""
    columns = [torch.randint(VOCABULARY, (words // 4,))]
    for _ in range(3):
        columns.append((7 * columns[-1] + 1) % VOCABULARY)
    return torch.stack(columns, 1).flatten()


class WordModel(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, size)
        self.lstm = nn.LSTM(size, size)
        self.decoder = nn.Linear(size, VOCABULARY)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.lstm(self.embedding(words))[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a word model on made-up text.")
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--bptt", type=int, default=35, help="words of a sequence")
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=500, help="training steps")
    args = parser.parse_args()

    text = made_up_text(50_000)
    model = WordModel(args.hidden_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.CrossEntropyLoss()
    offsets = torch.arange(args.bptt + 1).unsqueeze(1)
    for step in range(1, args.steps + 1):
        starts = torch.randint(len(text) - args.bptt - 1, (args.batch_size,))
        words = text[starts + offsets]
        optimizer.zero_grad()
        scores = model(words[:-1])
        loss = criterion(scores.flatten(0, 1), words[1:].flatten())
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.2f} nats a word", flush=True)


if __name__ == "__main__":
    main()
