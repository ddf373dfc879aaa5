"""A tagger with a bidirectional LSTM: a click command under the guard."""

import click
import torch
from torch import nn


class Tagger(nn.Module):
    def __init__(self, words: int, hidden: int, tags: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, hidden)
        self.lstm = nn.LSTM(hidden, hidden, bidirectional=True, batch_first=True)
        self.tags = nn.Linear(2 * hidden, tags)

    def forward(self, sentences: torch.Tensor) -> torch.Tensor:
        return self.tags(self.lstm(self.embedding(sentences))[0])


def sentences(count: int, length: int, words: int, tags: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A word's tag depends on the words to its left and right."""
    drawn = torch.randint(words, (count, length))
    return drawn, (drawn.roll(1, 1) + drawn.roll(-1, 1)) % tags


@click.command()
@click.option("--batch-size", "-b", default=16, show_default=True)
@click.option("--length", default=25, show_default=True, help="Words in a sentence.")
@click.option("--hidden", default=40, show_default=True)
@click.option("--steps", default=400, show_default=True)
@click.option("--lr", default=2e-3, show_default=True)
def main(batch_size: int, length: int, hidden: int, steps: int, lr: float) -> None:
    """Train the tagger."""
    torch.manual_seed(0)
    model = Tagger(100, hidden, 12)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=lr)
    for step in range(1, steps + 1):
        words, tags = sentences(batch_size, length, 100, 12)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(words).flatten(0, 1), tags.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            click.echo(f"step {step}: loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
