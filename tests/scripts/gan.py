"""A GAN over sequences: two optimizers, two steps of the critic for one of the generator."""

import argparse

import torch
from torch import nn


class Generator(nn.Module):
    def __init__(self, noise, hidden):
        super().__init__()
        self.gru = nn.GRU(noise, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, z):
        return torch.tanh(self.out(self.gru(z)[0]))


class Critic(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, waves):
        return self.out(self.lstm(waves)[0][:, -1])


def real_waves(count, length):
    phases, speeds = torch.rand(count, 1) * 6.28, 0.2 + 0.2 * torch.rand(count, 1)
    return torch.sin(phases + speeds * torch.arange(length)).unsqueeze(2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--length", type=int, default=24)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--n-critic", type=int, default=2)
    args = parser.parse_args()

    torch.manual_seed(0)
    generator, critic = Generator(8, 40), Critic(40)
    opt_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    opt_c = torch.optim.RMSprop(critic.parameters(), lr=5e-4)
    for iteration in range(args.iterations):
        for _ in range(args.n_critic):
            real = real_waves(args.batch_size, args.length)
            fake = generator(torch.randn(args.batch_size, args.length, 8)).detach()
            loss_c = critic(fake).mean() - critic(real).mean()
            opt_c.zero_grad()
            loss_c.backward()
            opt_c.step()
            for p in critic.parameters():
                p.data.clamp_(-0.1, 0.1)
        loss_g = -critic(generator(torch.randn(args.batch_size, args.length, 8))).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        if iteration % 50 == 0:
            print(f"{iteration}: critic {loss_c.item():.4f}, generator {loss_g.item():.4f}")


if __name__ == "__main__":
    main()
