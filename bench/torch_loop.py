"""A plain torch loop: eager mode, all rows on the device (or in a mapped file), one optimizer step a batch.

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


class BothWays(nn.Module):
    """A bidirectional LSTM: the outputs of all steps, or the last of each direction."""

    def __init__(self, width, units, whole):
        super().__init__()
        self.layer, self.whole = nn.LSTM(width, units, batch_first=True, bidirectional=True), whole

    def forward(self, x):
        y, (last, _) = self.layer(x)
        return y if self.whole else torch.cat((last[0], last[1]), -1)


class Mean(nn.Module):
    """The mean over the places of (b, c, ...)."""

    def forward(self, x):
        return x.flatten(2).mean(-1)


class Most(nn.Module):
    """The maximum over the places of (b, c, ...)."""

    def forward(self, x):
        return x.flatten(2).amax(-1)


class Swap(nn.Module):
    """(b, t, c) to (b, c, t), as convolutions want it."""

    def forward(self, x):
        return x.transpose(1, 2)


CONVOLUTIONS = {"conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "conv3d": nn.Conv3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLS = {"pool1d": nn.MaxPool1d, "pool2d": nn.MaxPool2d, "pool3d": nn.MaxPool3d}


def part(kind, arguments, shape):
    """The modules of one link; `shape` is that of its input, without the batch."""
    if kind == "dense":
        units, activation = arguments
        return [nn.Linear(shape[-1], units), *activate(activation)]
    if kind in CONVOLUTIONS:
        filters, size, activation = arguments
        return [CONVOLUTIONS[kind](shape[0], filters, size), *activate(activation)]
    if kind == "same2d":
        filters, size, stride, activation = arguments
        return [nn.Conv2d(shape[0], filters, size, stride, padding=size // 2), *activate(activation)]
    if kind == "transposed2d":
        filters, size, stride, activation = arguments
        pads = {"padding": size // 2, "output_padding": stride - 1}
        return [nn.ConvTranspose2d(shape[0], filters, size, stride, **pads), *activate(activation)]
    if kind == "depthwise2d":
        size, stride = arguments
        return [nn.Conv2d(shape[0], shape[0], size, stride, padding=size // 2, groups=shape[0])]
    if kind in POOLS:
        return [POOLS[kind](2)]
    if kind == "lstm":
        return [LastStep(nn.LSTM(shape[-1], *arguments, batch_first=True))]
    if kind == "gru":
        return [LastStep(nn.GRU(shape[-1], *arguments, batch_first=True))]
    if kind == "bilstm":
        return [BothWays(shape[-1], *arguments)]
    if kind == "norm":
        return [NORMS[len(shape) - 1](shape[0], eps=1e-3, momentum=0.01)]
    simple = {
        "embed": nn.Embedding, "dropout": nn.Dropout, "flatten": nn.Flatten, "relu": nn.ReLU,
        "mean1d": Mean, "mean2d": Mean, "max1d": Most,
    }  # fmt: skip
    return [simple[kind](*arguments)]


def activate(name):
    """The activation behind a layer: none for "linear", nor for the last one, which goes with the loss."""
    return [nn.ReLU()] if name == "relu" else []


def build(workload, sample):
    """The modules in order; shapes are found by sending one row through (in eval mode, no gradient)."""
    modules, first = nn.Sequential().eval(), channels_first(workload)
    with torch.no_grad():
        for kind, *arguments in workload.chain:
            if kind in CONVOLUTIONS and not first:  # behind an embedding
                sample, first = sample.transpose(1, 2), True
                modules.append(Swap())
            for module in part(kind, arguments, sample.shape[1:]):
                sample = module.eval()(sample)
                modules.append(module)
    return modules.to(DEVICE)


def channels_first(workload):
    """Whether the rows are turned for torch before anything is timed."""
    return len(workload.shape) > 1 and workload.chain[0][0].startswith(("conv", "same"))


class Loop:
    """The model and its training loop."""

    def __init__(self, workload, x, y):
        self.workload, self.steps = workload, 0
        self.rows = np.ascontiguousarray(np.moveaxis(x, -1, 1)) if channels_first(workload) else x
        place = torch.device("cpu") if workload.on_disk else DEVICE  # mapped rows are read where they are
        self.x = torch.from_numpy(self.rows).to(place)
        self.y = self.x if workload.copies else torch.from_numpy(y).to(place)
        if workload.classes > 1:
            self.y = self.y.long()
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
            for rows in torch.randperm(len(self.x), device=self.x.device).split(self.workload.batch):
                x, y = self.x[rows].to(DEVICE), self.y[rows].to(DEVICE)
                self.optimizer.zero_grad()
                loss, right = self.loss(self.model(x), y)
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

    def many(self, rows, size):
        """Predictions for the first `rows` rows, `size` at a time."""
        self.model.eval()
        return np.concatenate([self.call(self.rows[start : start + size]) for start in range(0, rows, size)])

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
        lstms = [m for m in self.model.modules() if isinstance(m, nn.LSTM)]
        extra = sum(p.numel() for m in lstms for name, p in m.named_parameters() if name.startswith("bias_hh"))
        return sum(p.numel() for p in self.model.parameters()) - extra


def open_model(workload, x, y):
    return Loop(workload, x, y)
