"""The networks of the papers' PyTorch code, with the module names that its checkpoints have."""
from collections import OrderedDict

try:
    import torch
    from torch import nn

    def parameter(*shape):
        return nn.Parameter(torch.zeros(shape))
except (ImportError, OSError):
    torch = None
    import module_names as nn

    parameter = nn.Parameter


def conv(inputs, outputs, kernel, stride=1, dilation=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=dilation * (kernel // 2), dilation=dilation,
                     groups=groups, bias=False)


class Network(nn.Module):
    """What all networks have: an end, and blocks whose outputs are feature maps."""

    def classify(self, x):
        return self.classifier(x.mean((2, 3)))

    def blocks_in_order(self):
        for name, module in self.named_children():
            if name in ("stem", "stem0", "stem1"):
                yield module
            elif name in ("cells", "blocks"):
                yield from module


# ---- NAS-Bench-201 (AutoDL-Projects) ----


class ReluConvBn(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1, affine=True):
        super().__init__()
        self.op = nn.Sequential(nn.ReLU(), conv(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs, affine=affine))

    def forward(self, x):
        return self.op(x)


class Zero(nn.Module):
    def __init__(self, stride=1):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, ::self.stride, ::self.stride] * 0


def nas_bench_201_op(name, channels, affine):
    if name == "none":
        return Zero()
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return ReluConvBn(channels, channels, int(name[-1]), affine=affine)


NAS_BENCH_201 = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
EDGES = [(to, source) for to in range(1, 4) for source in range(to)]


class InferCell(nn.Module):
    def __init__(self, ops, channels):
        super().__init__()
        self.layers = nn.ModuleList([nas_bench_201_op(op, channels, affine=True) for op in ops])

    def forward(self, x):
        nodes = [x, 0, 0, 0]
        for (to, source), layer in zip(EDGES, self.layers):
            nodes[to] = nodes[to] + layer(nodes[source])
        return nodes[3]


class SearchCell(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.edges = nn.ModuleDict({
            f"{to}<-{source}": nn.ModuleList([nas_bench_201_op(op, channels, affine=False) for op in NAS_BENCH_201])
            for to, source in EDGES})

    def forward(self, x, weights):
        nodes = [x, 0, 0, 0]
        for (to, source), row in zip(EDGES, weights):
            ops = self.edges[f"{to}<-{source}"]
            nodes[to] = nodes[to] + sum(w * op(nodes[source]) for w, op in zip(row, ops))
        return nodes[3]


class ResidualBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv_a = ReluConvBn(inputs, outputs, 3, stride=2)
        self.conv_b = ReluConvBn(outputs, outputs, 3)
        self.downsample = nn.Sequential(nn.AvgPool2d(2, stride=2, padding=0), conv(inputs, outputs, 1))

    def forward(self, x, *_):
        return self.downsample(x) + self.conv_b(self.conv_a(x))


class TinyNetwork(Network):
    def __init__(self, ops, channels, cells, classes):
        super().__init__()
        search = ops is None
        self.stem = nn.Sequential(conv(3, channels, 3), nn.BatchNorm2d(channels))
        self.cells = nn.ModuleList()
        for stage in range(3):
            if stage > 0:
                self.cells.append(ResidualBlock(channels, 2 * channels))
                channels *= 2
            for _ in range(cells):
                self.cells.append(SearchCell(channels) if search else InferCell(ops, channels))
        self.lastact = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, classes)
        if search:
            self.arch_parameters = parameter(len(EDGES), len(NAS_BENCH_201))

    def forward(self, x):
        weights = [self.arch_parameters.softmax(1)] if hasattr(self, "arch_parameters") else []
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x, *weights)
        return self.classify(self.lastact(x))


# ---- DARTS ----


class FactorizedReduce(nn.Module):
    def __init__(self, inputs, outputs, affine=True):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv_1 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x):
        x = self.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], 1))


class SeparableConvs(nn.Module):
    def __init__(self, channels, kernel, strides, dilation, affine):
        super().__init__()
        layers = []
        for stride in strides:
            layers += [nn.ReLU(), conv(channels, channels, kernel, stride, dilation, groups=channels),
                       conv(channels, channels, 1), nn.BatchNorm2d(channels, affine=affine)]
        self.op = nn.Sequential(*layers)

    def forward(self, x):
        return self.op(x)


DARTS = ["none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3",
         "dil_conv_5x5"]


def darts_op(name, channels, stride, affine):
    if name == "none":
        return Zero(stride)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride=stride, padding=1)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    if name == "conv_7x1_1x7":
        return nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, (1, 7), stride=(1, stride), padding=(0, 3), bias=False),
            nn.Conv2d(channels, channels, (7, 1), stride=(stride, 1), padding=(3, 0), bias=False),
            nn.BatchNorm2d(channels, affine=affine))
    kind, kernel = name[:3], int(name[-1])
    if kind == "sep":
        return SeparableConvs(channels, kernel, [stride, 1], 1, affine)
    return SeparableConvs(channels, kernel, [stride], 2, affine)


class MixedOp(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self._ops = nn.ModuleList()
        for name in DARTS:
            op = darts_op(name, channels, stride, affine=False)
            if "pool" in name:
                op = nn.Sequential(op, nn.BatchNorm2d(channels, affine=False))
            self._ops.append(op)

    def forward(self, x, weights):
        return sum(w * op(x) for w, op in zip(weights, self._ops))


class DartsCell(nn.Module):
    """genotype: [op, state] for each input of each node; None in a search."""

    def __init__(self, genotype, prev_prev, prev, channels, reduction, reduction_prev):
        super().__init__()
        search = genotype is None
        affine = not search
        self.reduction = reduction
        self.preprocess0 = FactorizedReduce(prev_prev, channels, affine) if reduction_prev else \
            ReluConvBn(prev_prev, channels, 1, affine=affine)
        self.preprocess1 = ReluConvBn(prev, channels, 1, affine=affine)
        self._ops = nn.ModuleList()
        if search:
            self.inputs = [list(range(node + 2)) for node in range(4)]
            for states in self.inputs:
                for state in states:
                    self._ops.append(MixedOp(channels, 2 if reduction and state < 2 else 1))
        else:
            self.inputs = [[genotype[i][1], genotype[i + 1][1]] for i in range(0, len(genotype), 2)]
            for name, state in genotype:
                self._ops.append(darts_op(name, channels, 2 if reduction and state < 2 else 1, affine))

    def forward(self, s0, s1, weights=None):
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        edge = 0
        for sources in self.inputs:
            total = 0
            for state in sources:
                extra = [] if weights is None else [weights[edge]]
                total = total + self._ops[edge](states[state], *extra)
                edge += 1
            states.append(total)
        return torch.cat(states[2:], 1)


class AuxiliaryHead(nn.Module):
    def __init__(self, channels, classes, imagenet):
        super().__init__()
        last_norm = [] if imagenet else [nn.BatchNorm2d(768)]
        self.features = nn.Sequential(
            nn.ReLU(), nn.AvgPool2d(5, stride=2 if imagenet else 3, padding=0, count_include_pad=False),
            conv(channels, 128, 1), nn.BatchNorm2d(128), nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False), *last_norm, nn.ReLU())
        self.classifier = nn.Linear(768, classes)


class DartsNetwork(Network):
    """NetworkCIFAR, NetworkImageNet; without a genotype the search network."""

    def __init__(self, genotype, channels, cells, classes, imagenet=False, auxiliary=False):
        super().__init__()
        search = genotype is None
        width = 3 * channels if search or not imagenet else channels
        if imagenet:
            self.stem0 = nn.Sequential(conv(3, width // 2, 3, stride=2), nn.BatchNorm2d(width // 2), nn.ReLU(),
                                       conv(width // 2, width, 3, stride=2), nn.BatchNorm2d(width))
            self.stem1 = nn.Sequential(nn.ReLU(), conv(width, width, 3, stride=2), nn.BatchNorm2d(width))
        else:
            self.stem = nn.Sequential(conv(3, width, 3), nn.BatchNorm2d(width))
        self.imagenet = imagenet
        prev_prev = prev = width
        reduction_prev = imagenet
        self.cells = nn.ModuleList()
        for i in range(cells):
            reduction = i in (cells // 3, 2 * cells // 3)
            if reduction:
                channels *= 2
            cell = None if search else genotype["reduce" if reduction else "normal"]
            self.cells.append(DartsCell(cell, prev_prev, prev, channels, reduction, reduction_prev))
            nodes = 4 if search else len(cell) // 2
            prev_prev, prev, reduction_prev = prev, nodes * channels, reduction
            if auxiliary and i == 2 * cells // 3:
                self.auxiliary_head = AuxiliaryHead(prev, classes, imagenet)
        self.classifier = nn.Linear(prev, classes)
        if search:
            self.alphas_normal = parameter(14, len(DARTS))
            self.alphas_reduce = parameter(14, len(DARTS))

    def forward(self, x):
        s0 = self.stem0(x) if self.imagenet else self.stem(x)
        s1 = self.stem1(s0) if self.imagenet else s0
        for cell in self.cells:
            weights = []
            if hasattr(self, "alphas_normal"):
                weights = [(self.alphas_reduce if cell.reduction else self.alphas_normal).softmax(1)]
            s0, s1 = s1, cell(s0, s1, *weights)
        return self.classify(s1)


# ---- ProxylessNAS ----

PROXYLESS = [(3, 3), (3, 6), (5, 3), (5, 6), (7, 3), (7, 6)]
FIRST_STRIDES = [1, 2, 2, 2, 1, 2, 1]


def conv_bn(inputs, outputs, kernel, stride=1, groups=1, act=True):
    layers = [("conv", conv(inputs, outputs, kernel, stride, groups=groups)), ("bn", nn.BatchNorm2d(outputs, eps=1e-3))]
    return nn.Sequential(OrderedDict(layers + ([("act", nn.ReLU6())] if act else [])))


class MbConv(nn.Module):
    def __init__(self, inputs, outputs, kernel, expansion, stride):
        super().__init__()
        hidden = inputs * expansion
        self.inverted_bottleneck = conv_bn(inputs, hidden, 1) if expansion > 1 else None
        self.depth_conv = conv_bn(hidden, hidden, kernel, stride, groups=hidden)
        self.point_linear = conv_bn(hidden, outputs, 1, act=False)

    def forward(self, x):
        if self.inverted_bottleneck is not None:
            x = self.inverted_bottleneck(x)
        return self.point_linear(self.depth_conv(x))


class ZeroLayer(nn.Module):
    def forward(self, x):
        return 0 * x


class MixedEdge(nn.Module):
    def __init__(self, inputs, outputs, stride, may_skip):
        super().__init__()
        self.candidate_ops = nn.ModuleList([MbConv(inputs, outputs, k, e, stride) for k, e in PROXYLESS])
        if may_skip:
            self.candidate_ops.append(ZeroLayer())
        self.AP_path_alpha = parameter(len(PROXYLESS) + may_skip)
        self.AP_path_wb = parameter(len(PROXYLESS) + may_skip)

    def forward(self, x):
        return sum(w * op(x) for w, op in zip(self.AP_path_alpha.softmax(0), self.candidate_ops))


class Block(nn.Module):
    def __init__(self, choice, shortcut):
        super().__init__()
        self.mobile_inverted_conv = choice
        self.shortcut = shortcut

    def forward(self, x):
        y = self.mobile_inverted_conv(x)
        return x + y if self.shortcut else y


class LinearLayer(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.linear(x)


class ProxylessNet(Network):
    """ops: a column for each of the 21 layers, 6 for a skip; None in a search. widths: stem, stages 0 to 6, head."""

    def __init__(self, ops, widths, classes, stem_stride=2):
        super().__init__()
        stem, stages, head = widths[0], widths[1:8], widths[8]
        self.first_conv = conv_bn(3, stem, 3, stem_stride)
        self.blocks = nn.ModuleList([Block(MbConv(stem, stages[0], 3, 1, 1), shortcut=False)])
        for layer in range(21):
            stage, first = 1 + layer // 4, layer % 4 == 0
            inputs, outputs = stages[stage - 1 if first else stage], stages[stage]
            stride = FIRST_STRIDES[stage] if first else 1
            shortcut = stride == 1 and inputs == outputs
            if ops is None:
                choice = MixedEdge(inputs, outputs, stride, may_skip=not first)
            elif ops[layer] == 6:
                choice = ZeroLayer()
            else:
                choice = MbConv(inputs, outputs, *PROXYLESS[ops[layer]], stride)
            self.blocks.append(Block(choice, shortcut))
        self.feature_mix_layer = conv_bn(stages[6], head, 1)
        self.classifier = LinearLayer(head, classes)

    def forward(self, x):
        x = self.first_conv(x)
        for block in self.blocks:
            x = block(x)
        return self.classify(self.feature_mix_layer(x))
