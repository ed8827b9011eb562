"""A plain torch loop: eager mode, all rows on the device, one optimizer step a batch.

As a torch user would have it: channels first (moved once, outside the clock), logits with the fused
losses, the fused Adam, and the loss and hits added up on the device, read once an epoch.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cuda":
    torch.set_float32_matmul_precision("high")  # TF32, as XLA does by default


def versions():
    return {"torch": torch.__version__.split("+")[0]}


def device():
    return torch.cuda.get_device_name() if DEVICE.type == "cuda" else "cpu"


class LastStep(nn.Module):
    """A recurrent layer of which only the output of the last step is wanted."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0][:, -1]


class Mean(nn.Module):
    """The mean over time of (b, c, t)."""

    def forward(self, x):
        return x.mean(-1)


CONVOLUTIONS = {"conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "conv3d": nn.Conv3d}
POOLS = {"pool1d": nn.MaxPool1d, "pool2d": nn.MaxPool2d, "pool3d": nn.MaxPool3d}


def part(kind, arguments, shape):
    """The modules of one link; `shape` is that of its input, without the batch."""
    if kind == "dense":
        units, activation = arguments
        return [nn.Linear(shape[-1], units), *activate(activation)]
    if kind in CONVOLUTIONS:
        filters, size, activation = arguments
        return [CONVOLUTIONS[kind](shape[0], filters, size), *activate(activation)]
    if kind in POOLS:
        return [POOLS[kind](2)]
    if kind == "lstm":
        return [LastStep(nn.LSTM(shape[-1], *arguments, batch_first=True))]
    if kind == "gru":
        return [LastStep(nn.GRU(shape[-1], *arguments, batch_first=True))]
    if kind == "norm":
        return [nn.BatchNorm1d(shape[0], eps=1e-3, momentum=0.01)]
    simple = {"embed": nn.Embedding, "dropout": nn.Dropout, "flatten": nn.Flatten, "relu": nn.ReLU, "mean1d": Mean}
    return [simple[kind](*arguments)]


def activate(name):
    """The activation behind a layer: none for "linear", nor for the last one, which goes with the loss."""
    return [nn.ReLU()] if name == "relu" else []


def build(workload, sample):
    """The modules in order; shapes are found by sending one row through (in eval mode, no gradient)."""
    modules = nn.Sequential().eval()
    with torch.no_grad():
        for kind, *arguments in workload.chain:
            for module in part(kind, arguments, sample.shape[1:]):
                sample = module.eval()(sample)
                modules.append(module)
    return modules.to(DEVICE)


class Loop:
    """The model and its training loop."""

    def __init__(self, workload, x, y):
        self.workload, self.steps = workload, 0
        channels_first = len(workload.shape) > 1 and workload.chain[0][0].startswith("conv")
        self.rows = np.ascontiguousarray(np.moveaxis(x, -1, 1)) if channels_first else x
        self.x = torch.from_numpy(self.rows).to(DEVICE)
        self.y = torch.from_numpy(y).to(DEVICE).long() if workload.classes > 1 else torch.from_numpy(y).to(DEVICE)
        self.model = build(workload, torch.from_numpy(self.rows[:1]))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, eps=1e-7, fused=True)
        self.ways = {"call": self.call}

    def loss(self, pred, y):
        if self.workload.classes > 1:
            return functional.cross_entropy(pred, y), (pred.argmax(-1) == y).sum()
        if self.workload.counts_hits:
            return functional.binary_cross_entropy_with_logits(pred, y), ((pred > 0) == (y > 0.5)).sum()
        return functional.mse_loss(pred, y), torch.zeros((), device=DEVICE)

    def fit(self, epochs):
        """Whole epochs; the loss of the last one."""
        self.model.train()
        for _ in range(epochs):
            total, hits = torch.zeros((), device=DEVICE), torch.zeros((), device=DEVICE)
            for rows in torch.randperm(len(self.x), device=DEVICE).split(self.workload.batch):
                y = self.y[rows]
                self.optimizer.zero_grad()
                loss, right = self.loss(self.model(self.x[rows]), y)
                loss.backward()
                self.optimizer.step()
                total += loss.detach() * len(rows)
                hits += right
                self.steps += 1
            logs = total.item() / len(self.x), hits.item() / len(self.x)
        return logs[0]

    def row(self):
        self.model.eval()
        return self.rows[:1]

    def call(self, row):
        with torch.inference_mode():
            return self.final(self.model(torch.from_numpy(row).to(DEVICE))).cpu().numpy()

    def final(self, pred):
        if self.workload.classes > 1:
            return pred.softmax(-1)
        return pred.sigmoid() if self.workload.counts_hits else pred

    @property
    def weights(self):
        """Without the second bias of torch's LSTM, which adds nothing to the first."""
        extra = sum(m.bias_hh_l0.numel() for m in self.model.modules() if isinstance(m, nn.LSTM))
        return sum(p.numel() for p in self.model.parameters()) - extra


def open_model(workload, x, y):
    return Loop(workload, x, y)
